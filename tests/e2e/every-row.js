// A SQLite database of the program with rows in every table: nothing but nulls, nothing but odd values, and the ends of the ranges.
// Types come from PostgreSQL's catalogue of the same schema, so a new table is filled without a word here.
"use strict";

const assert = require("node:assert/strict");
const { sqlite } = require("./lib.js");

const ODD = "Zoë \u{1F393} \"q\" 'a' \\N \\. \\\\ \t tab\r\nline \u0001 \u007f ∅";
const hex = (text) => `CAST(x'${Buffer.from(text).toString("hex")}' AS TEXT)`;

// Three rows of each table, by the PostgreSQL type: only what must be, odd values, ends of ranges.  Each differs by `n`.
const VALUES = {
	text: (k, n) => hex([`v${n}`, `${ODD} ${n}`, `${"é".repeat(1500)}${n}`][k]),
	uuid: (k, n) => `'0189${k}000-0000-7000-8000-${String(n).padStart(12, "0")}'`,
	bigint: (k) => ["0", "-9223372036854775808", "9223372036854775807"][k],
	boolean: (k) => ["0", "1", "0"][k],
	"double precision": (k) => ["0.1", "-1.7976931348623157e308", "4.9406564584124654e-324"][k],
	bytea: (k) => ["x''", "x'00ff0a095c'", "zeroblob(70000)"][k],
	"timestamp with time zone": (k) => ["'2026-08-01 12:00:00.000000'", "'1969-12-31 23:59:59.999999'", "'9999-12-31 23:59:59.000001'"][k],
};

// One of the words that a CHECK of the table allows for the column.
function word(ddl, column, k) {
	const list = new RegExp(`CHECK \\(${column} IN \\(([^)]*)\\)`).exec(ddl) || new RegExp(`CHECK \\((${column} = '[^)]*)\\)`).exec(ddl);
	if (!list)
		return null;
	const words = [...list[1].matchAll(/'([^']*)'/g)].map((m) => m[1]);
	return words.length ? `'${words[k % words.length]}'` : null;
}

function fillEveryTable(file, pg, url) {
	const columns = pg.query(url, `SELECT table_name AS "table", column_name AS name, data_type AS type, is_nullable = 'YES' AS nullable
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_migrations' ORDER BY ordinal_position`);
	const ddl = Object.fromEntries(sqlite(file, "SELECT name, sql FROM sqlite_schema WHERE type = 'table'").map((t) => [t.name, t.sql]));
	const waiting = new Set(columns.map((c) => c.table));
	let n = 0;
	while (waiting.size) {
		const before = waiting.size;
		for (const table of [...waiting]) {
			const parents = sqlite(file, `SELECT "from", "table", "to" FROM pragma_foreign_key_list('${table}')`);
			if (parents.some((p) => p.table !== table && waiting.has(p.table)))
				continue;
			waiting.delete(table);
			const mine = columns.filter((c) => c.table === table);
			const rows = [0, 1, 2].map((k) => {
				n++;
				const values = mine.map((c) => {
					const parent = parents.find((p) => p.from === c.name);
					assert.ok(VALUES[c.type], `${table}.${c.name}: no values for the type ${c.type}`);
					if (c.nullable && k === 0)
						return "NULL";
					if (parent)
						return `(SELECT "${parent.to}" FROM "${parent.table}" ORDER BY "${parent.to}" LIMIT 1 OFFSET ${k})`;
					if (c.name === "seq")
						return `${9007199254740993n + BigInt(n)}`; // more than a double holds
					return word(ddl[table], c.name, k) || VALUES[c.type](k, n);
				});
				return `INSERT INTO "${table}" (${mine.map((c) => `"${c.name}"`).join(", ")}) VALUES (${values.join(", ")});`;
			});
			sqlite(file, `PRAGMA foreign_keys = ON; ${rows.join("")}`);
		}
		assert.ok(waiting.size < before, "tables refer to each other in a circle");
	}
	return Object.keys(ddl).filter((t) => t !== "schema_migrations" && !t.startsWith("sqlite_"));
}

module.exports = { ODD, fillEveryTable };
