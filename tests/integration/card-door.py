"""nbdkit plugin: the test bed's card with a door, where requests are written down and one of them can be held.

The test bed's own plugin lies beside this one as original-plugin.py, and the card's store says where the rest is:
  arm     the request to hold, of those from the first write on since this file was written: AFTER NTH PREFIX is the one
          so many after the NTH whose line in trace begins like this; 0 0 - for none
  trace   a line for each of them: W OFFSET LENGTH, R OFFSET LENGTH, F
  held    is there as long as the request is held; it goes on when arm is removed
"""

import importlib.util
import os
import time

spec = importlib.util.spec_from_file_location("original", os.path.join(os.path.dirname(__file__), "original-plugin.py"))
original = importlib.util.module_from_spec(spec)
spec.loader.exec_module(original)

API_VERSION = original.API_VERSION
config_complete = original.config_complete
open_file = open
open = original.open
close = original.close
unload = original.unload
get_size = original.get_size
can_multi_conn = original.can_multi_conn
thread_model = original.thread_model

state = {"dir": None, "arm": None, "after": 0, "nth": 0, "prefix": "", "any": False}


def config(key, value):
    if key == "store":
        state["dir"] = os.path.dirname(value)
    original.config(key, value)


def _there(name):
    return os.path.join(state["dir"], name)


def _armed():
    """Looks whether `arm` was written anew."""
    try:
        seen = os.stat(_there("arm"))
    except FileNotFoundError:
        state["arm"] = None
        return False
    if state["arm"] != (seen.st_ino, seen.st_mtime_ns):
        state["arm"] = (seen.st_ino, seen.st_mtime_ns)
        with open_file(_there("arm")) as file:
            after, nth, state["prefix"] = file.read().split(" ", 2)
        state["after"], state["nth"], state["any"] = int(after), int(nth), False
        open_file(_there("trace"), "w").close()
    return True


def _pass(line):
    """Counts a request, and holds it if it is the one."""
    if not _armed() or not (state["any"] or line.startswith("W")):
        return
    state["any"] = True
    with open_file(_there("trace"), "a") as trace:
        trace.write(line + "\n")
    if state["nth"] > 0 and (line + " ").startswith(state["prefix"] + " "):
        state["nth"] -= 1
        if state["nth"] > 0:
            return
    elif state["nth"] > 0 or state["prefix"] == "-":
        return
    else:
        state["after"] -= 1
    if state["after"] == 0:
        open_file(_there("held"), "w").close()
        while os.path.exists(_there("arm")):
            time.sleep(0.005)
        os.unlink(_there("held"))


def pread(h, buf, offset, flags):
    _pass("R %d %d" % (offset, len(buf)))
    original.pread(h, buf, offset, flags)


def pwrite(h, buf, offset, flags):
    _pass("W %d %d" % (offset, len(buf)))
    original.pwrite(h, buf, offset, flags)


def flush(h, flags):
    _pass("F")
    original.flush(h, flags)
