"""QR codes on a terminal."""

from __future__ import annotations

import shutil


def print_picture(text: str) -> bool:
    """The text as a QR code, if it fits. False if it does not."""
    import segno  # hardly any command needs it

    code = segno.make(text, error="l", micro=False)
    if code.symbol_size()[0] > shutil.get_terminal_size().columns:
        return False
    code.terminal(compact=True)
    return True
