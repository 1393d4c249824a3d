/*
 * How many records an event has, right at once and cheap.
 *
 * Ids of version 7 sort by time.  Table event_counts holds the counts of all records up to one id, positions('event_counts');
 * younger ones, of the last half minute, are counted when somebody asks.  The job moves the position on.  Whoever changes a
 * status, removes a record, or writes one with an older id calls event_recount() in the same transaction.
 */
#ifndef MUSTER_ATTENDANCE_COUNT_H
#define MUSTER_ATTENDANCE_COUNT_H

#include "core/ctx.h"

/* For SQL texts: the position, and one row per event with records younger than it (event_id and the columns of
 * event_counts: present holds late as well, attended flagged as well, and what is in none of the columns was rejected). */
#define COUNTED_TO "(SELECT reached FROM positions WHERE name = 'event_counts')"
#define COUNT_STATUS(status) " SUM(CASE WHEN status = '" #status "' THEN 1 ELSE 0 END) AS " #status
#define COUNT_COLUMNS                                                                                                      \
	"COUNT(*) AS records, SUM(CASE WHEN status IN ('present', 'late', 'flagged') THEN 1 ELSE 0 END) AS attended,"      \
	" SUM(CASE WHEN status IN ('present', 'late') THEN 1 ELSE 0 END) AS present," COUNT_STATUS(late) "," COUNT_STATUS( \
		excused) "," COUNT_STATUS(absent)
/* The inner ORDER BY with its LIMIT keeps the planner on the primary key: grouping by event_id would tempt it to read that whole
 * index. */
#define COUNTS_BETWEEN(condition)                                                                                    \
	"(SELECT event_id, " COUNT_COLUMNS " FROM (SELECT event_id, status FROM attendance_records WHERE " condition \
	" ORDER BY id LIMIT 10000000) recent GROUP BY event_id)"
#define YOUNG_COUNTS COUNTS_BETWEEN("id > " COUNTED_TO)

enum err event_recount(struct ctx *cx, const char *event_id) MUST_CHECK;

/* Job, every 10 s. */
enum err event_counts_write(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
