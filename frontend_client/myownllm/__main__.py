"""`python -m myownllm`"""

from myownllm.cli import main

main()
