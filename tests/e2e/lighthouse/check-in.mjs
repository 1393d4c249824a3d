/*
 * `make lighthouse`: performance and accessibility of the check-in page, as a phone with a fresh code gets it.  Prints the scores and
 * what costs points; fails under FLOOR.  What else the machine does only lowers a score, so the best run counts, of at most RUNS_MAX.
 */
import { createRequire } from 'node:module';

import { launch } from 'chrome-launcher';
import lighthouse from 'lighthouse';

const { Server } = createRequire(import.meta.url)('../lib.js');
const FLOOR = 0.95, RUNS_MIN = 3, RUNS_MAX = 7;
const CATEGORIES = ['performance', 'accessibility'];

const server = await Server.start();
const chrome = await launch({
	chromePath: process.env.CHROMIUM || '/usr/bin/chromium', chromeFlags: ['--headless=new', '--no-sandbox', '--disable-gpu'], logLevel: 'silent',
});
let short = false;
try {
	const token = await server.admin();
	const event = await server.event(token, { title: 'Graph theory' });
	for (const [name, target] of [['without a code', async () => '/c'], ['with a fresh code', async () => `/c#${(await server.qr(token, event.id)).qr_payload}`]]) {
		const best = new Map();
		const good = () => CATEGORIES.every((id) => best.get(id).score >= FLOOR);
		for (let run = 0; run < RUNS_MIN || (run < RUNS_MAX && !good()); run++) {
			const { lhr } = await lighthouse(server.base + await target(), { port: chrome.port, onlyCategories: CATEGORIES, logLevel: 'silent' });
			if (lhr.runtimeError)
				throw new Error(lhr.runtimeError.message);
			for (const id of CATEGORIES)
				if (!best.has(id) || lhr.categories[id].score > best.get(id).score)
					best.set(id, { score: lhr.categories[id].score, lhr });
		}
		short ||= !good();
		for (const [id, { score, lhr }] of best) {
			const costs = lhr.categories[id].auditRefs.filter((r) => r.weight > 0 && lhr.audits[r.id].score !== null && lhr.audits[r.id].score < 1)
				.map((r) => `${r.id} ${lhr.audits[r.id].displayValue ?? ''}`.trim());
			console.log(`lighthouse: check-in ${name}: ${id} ${Math.round(100 * score)}${costs.length ? ` (${costs.join(', ')})` : ''}`);
		}
	}
} finally {
	await chrome.kill();
	await server.discard();
}
if (short)
	console.log(`lighthouse: a score is under ${100 * FLOOR}`);
process.exit(short ? 1 : 0);
