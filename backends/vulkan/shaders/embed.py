#!/usr/bin/env python3
"""embed.py SPIRV-VAL IN OUT: checks a SPIR-V module and writes its words as numbers for a C array."""
import struct
import subprocess
import sys

validator, source, target = sys.argv[1:]
subprocess.run([validator, '--target-env', 'vulkan1.2', '--scalar-block-layout', source], check=True)
with open(source, 'rb') as f:
    data = f.read()
words = struct.unpack('<%uI' % (len(data) // 4), data)
with open(target, 'w') as f:
    for i in range(0, len(words), 10):
        f.write(' '.join('0x%x,' % w for w in words[i:i + 10]) + '\n')
