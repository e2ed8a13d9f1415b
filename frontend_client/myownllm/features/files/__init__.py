"""Files between devices (spec 08 §9.5): `install` serves offers, keeps transfers going, and answers commands."""

from myownllm.features.files.feature import Files as Files
from myownllm.features.files.feature import install as install
