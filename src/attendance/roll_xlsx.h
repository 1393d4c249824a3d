/* An event's roll as an Office Open XML workbook. */
#ifndef MUSTER_ATTENDANCE_ROLL_XLSX_H
#define MUSTER_ATTENDANCE_ROLL_XLSX_H

#include "attendance/record.h"

/*
 * The same columns as record_csv(), every cell a text: nothing in it is a formula, a number or a link.  Does file I/O: for the
 * work lane only.  ERR_UNAVAILABLE when the workbook cannot be written.
 */
enum err record_xlsx(struct ctx *cx, const struct roll *roll, struct span *ret) MUST_CHECK;

#endif
