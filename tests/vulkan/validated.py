#!/usr/bin/env python3
"""validated.py [--expect] COMMAND...: runs a program under Vulkan's validation layer.

Fails when the program fails, when the layer was not loaded, or when it had anything to say, be it an
error, a warning or advice. --expect: succeeds only when it had.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SETTINGS = """khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.log_filename = {log}
khronos_validation.report_flags = error,warn,perf
khronos_validation.duplicate_message_limit = 3
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
"""


def main():
    command = sys.argv[1:]
    expected = command[0] == "--expect"
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "messages.txt"
        (pathlib.Path(folder) / "vk_layer_settings.txt").write_text(SETTINGS.format(log=log))
        env = dict(os.environ, VK_LAYER_SETTINGS_PATH=folder,
                   VK_INSTANCE_LAYERS="VK_LAYER_KHRONOS_validation")
        status = subprocess.run(command[expected:], env=env).returncode
        if not log.exists():
            sys.exit("validated.py: the validation layer was not loaded; install vulkan-validationlayers")
        # What newer layers say about the settings above is not about the program.
        said = re.split(r"(?m)^(?=Validation )", log.read_text(errors="replace"))
        messages = "".join(m for m in said if "[ VALIDATION-SETTINGS ]" not in m)
    if status != 0:
        sys.exit(status)
    if expected:
        sys.exit(0 if messages else "validated.py: the layer said nothing where it should have")
    if messages:
        sys.exit("validated.py: the validation layer says:\n" + messages[:8000])


if __name__ == "__main__":
    main()
