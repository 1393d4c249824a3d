# Files over 600 lines and functions over 60 are named; over 700 and 90 they fail.  A function's body stands between a `{` and a `}`
# in the first column after a line that opens a parameter list there.
FNR == 1 { if (NR > 1) file(); name = ""; lines = 0; path = FILENAME }
{ lines = FNR }
/^[A-Za-z_][A-Za-z0-9_]*\(/ && !/^(SQL|SCHEMA|E|C|A)\(/ { split($0, part, "("); name = part[1] }
/^\{/ { start = FNR }
/^\}/ && name != "" && start { n = FNR - start - 1; if (n > 60) say(path ":" start ": " name "() has " n " lines", n > 90); name = ""; start = 0 }
END { file(); exit bad }
function file() { if (lines > 600) say(path ": " lines " lines", lines > 700) }
function say(text, fails) { print (fails ? "error: " : "note: ") text; if (fails) bad = 1 }
