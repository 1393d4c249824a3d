#!/bin/sh
# Writes the assembler that puts files into the program as `asset_blobs` (core/asset.h): embed-assets.sh NAME=FILE …
# The bytes come in by .incbin, so that a megabyte of script costs the build nothing.
set -eu
echo '	.section .rodata'
n=0
for pair in "$@"; do
	echo "	.balign 8"
	echo ".Ldata$n: .incbin \"${pair#*=}\""
	echo ".Lend$n:"
	echo ".Lname$n: .asciz \"${pair%%=*}\""
	n=$((n + 1))
done
echo '	.section .data.rel.ro.local, "aw"'
echo '	.balign 8'
echo '	.globl asset_blobs'
echo '	.type asset_blobs, @object'
echo 'asset_blobs:'
i=0
while [ "$i" -lt "$n" ]; do
	echo "	.quad .Lname$i, .Ldata$i, .Lend$i - .Ldata$i"
	i=$((i + 1))
done
echo '	.quad 0, 0, 0'
echo '	.size asset_blobs, . - asset_blobs'
echo '	.section .note.GNU-stack, "", @progbits'
