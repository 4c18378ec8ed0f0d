"""Becomes the program of a function, in a process that ends with the emulator's thread that started it, however that ends.

    bootstrap.py PARENT PROGRAM

A program of its own because nothing but exec may happen between fork and exec in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
try:
    os.execv(sys.argv[2], [sys.argv[2]])
except OSError as error:
    print(f"{sys.argv[2]}: {error.strerror}", flush=True)
    os._exit(126)
