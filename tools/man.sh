#!/bin/sh
# Prints muster(8), made of what the program says about itself: man.sh PROGRAM
set -eu
prog=$1
version=$(env -i PATH="$PATH" "$prog" --version)
# Text as it stands: roff's own signs are escaped.
plain()
{
	sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\\([.']\\)/\\\\\&\\1/"
}
commands()
{
	env -i PATH="$PATH" "$prog" --help | sed -n 's/^  \([a-z][a-z-]*\)  *[A-Z].*/\1/p'
}

cat <<HEAD
.TH MUSTER 8 "" "$version" "System administration"
.SH NAME
muster \- attendance server that proves who was in the room
.SH SYNOPSIS
.B muster
.I COMMAND
[\fIOPTIONS\fR]
.SH COMMANDS
HEAD
for c in $(commands); do
	printf '.SS muster %s\n.nf\n' "$c"
	env -i PATH="$PATH" "$prog" "$c" --help | plain
	printf '.fi\n'
done
cat <<'TAIL'
.SH EXIT STATUS
0 done, 1 failed, 2 wrong use.  Results go to standard output, everything else to standard error.
.SH ENVIRONMENT
Every variable of the configuration, explained by
.BR "muster config \-\-docs" .
The environment wins over
.IR .env .
.SH FILES
.TP
.I .env
in the working directory: the configuration.  Of the packaged service:
.IR /var/lib/muster/.env ,
a link to
.IR /etc/muster/muster.env .
.TP
.I /var/lib/muster
database, uploads and backups of the packaged service.
.SH SEE ALSO
.BR muster-face (8),
.BR sqlite3 (1),
.BR pg_dump (1)
TAIL
