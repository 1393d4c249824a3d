/*
 * Builds the web app: node web/build.mjs OUTDIR.  Writes index.html, c.html (the same page, told to fetch the check-in first), the
 * hashed scripts and the style sheet under assets/, the service worker with its list of files, and pages.txt, from which the server
 * knows the paths of the app.  Prints the size of the scripts, and fails when they outgrow their budget or a language lacks a word.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build, transform } from 'esbuild';

const BUDGET = 150_000; /* bytes of all scripts, gzipped */
const here = dirname(fileURLToPath(import.meta.url));
const app = join(here, 'app');
const out = process.argv[2];

const hashOf = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 10);
const page = (name) => readFileSync(join(app, name), 'utf8');

/* qr-scanner makes its worker from a blob, which our Content-Security-Policy does not allow: the same script as a file. */
async function decoderScript() {
	let source;
	const kept = [globalThis.Worker, globalThis.Blob, URL.createObjectURL];
	globalThis.Worker = class {};
	globalThis.Blob = class {
		constructor(parts) {
			source = parts.join('');
		}
	};
	URL.createObjectURL = () => 'blob:';
	/* Its package does not call its files modules, so older Node would read it as a script; a data: URL says what it is. */
	const worker = readFileSync(createRequire(import.meta.url).resolve('qr-scanner/qr-scanner-worker.min.js'), 'base64');
	(await import(`data:text/javascript;base64,${worker}`)).createWorker();
	[globalThis.Worker, globalThis.Blob, URL.createObjectURL] = kept;
	return (await transform(source, { minify: true, legalComments: 'inline' })).code;
}

async function checkLanguages() {
	const en = Object.keys((await import(join(app, 'i18n/en.js'))).default);
	const de = Object.keys((await import(join(app, 'i18n/de.js'))).default);
	const odd = [...en.filter((k) => !de.includes(k)).map((k) => `de lacks ${k}`), ...de.filter((k) => !en.includes(k)).map((k) => `de has ${k}`)];
	if (odd.length)
		throw new Error(`languages differ: ${odd.join(', ')}`);
}

/* A word that the first load may say, by a text or the beginning of one, has to come with it. */
async function checkFirstWords(files) {
	const all = Object.keys((await import(join(app, 'i18n/en.js'))).default);
	const first = Object.keys((await import(join(app, 'i18n/first.en.js'))).default);
	const said = files.filter((f) => !/i18n|pages\.js$/.test(f)).map((f) => readFileSync(join(here, f), 'utf8')).join('\n');
	const used = [...said.matchAll(/'([^'\n]+)'|`([\w.]+\.)\$\{/g)].flatMap(([, word, start]) => all.filter((k) => k === word || (start && k.startsWith(start))));
	const late = [...new Set(used)].filter((k) => !first.includes(k));
	if (late.length)
		throw new Error(`the first words lack ${late.join(', ')}`);
}

const scripts = [];
function emit(name, text) {
	writeFileSync(join(out, name), text);
	if (name.endsWith('.js'))
		scripts.push([name, gzipSync(text, { level: 9 }).length]);
}

await checkLanguages();
rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'assets'), { recursive: true });

const decoder = await decoderScript();
const decoderName = `decoder-${hashOf(decoder)}.js`;
emit(`assets/${decoderName}`, decoder);

const result = await build({
	entryPoints: { app: join(app, 'main.jsx'), style: join(app, 'style.css') },
	bundle: true, splitting: true, format: 'esm', minify: true, metafile: true, write: false, outdir: join(out, 'assets'),
	entryNames: '[name]-[hash]', chunkNames: '[name]-[hash]', target: ['es2022', 'safari15.4'], jsx: 'automatic', jsxImportSource: 'preact',
	define: { WORKER_URL: JSON.stringify(`/app/assets/${decoderName}`) }, legalComments: 'none', absWorkingDir: here, logLevel: 'warning',
});
const names = result.outputFiles.map((f) => {
	const name = f.path.slice(f.path.lastIndexOf('/') + 1);
	emit(`assets/${name}`, f.text);
	return name;
});

/* What a page needs before it can be shown: the chunk and all that it imports at once. */
function needs(entry) {
	const outputs = Object.entries(result.metafile.outputs);
	const key = outputs.find(([, o]) => o.entryPoint === entry)[0];
	const found = new Set();
	const walk = (name) => {
		if (found.has(name))
			return;
		found.add(name);
		result.metafile.outputs[name].imports.filter((i) => i.kind === 'import-statement').forEach((i) => walk(i.path));
	};
	walk(key);
	return [...found].map((n) => n.slice(n.lastIndexOf('/') + 1));
}

const main = needs('app/main.jsx');
const first = [...new Set([...main, ...needs('app/pages/checkin.jsx')])];
const chunkOf = ([name]) => first.includes(name.slice(name.lastIndexOf('/') + 1));
await checkFirstWords(Object.entries(result.metafile.outputs).filter(chunkOf).flatMap(([, o]) => Object.keys(o.inputs)).filter((f) => f.startsWith('app/')));
const style = names.find((n) => n.startsWith('style-'));
const preloads = (list) => [...new Set(list)].map((n) => `<link rel="modulepreload" href="/app/assets/${n}">`).join('\n\t');
const html = (list) => page('index.html').replace('%STYLE%', `/app/assets/${style}`).replace('%SCRIPT%', `/app/assets/${main[0]}`)
	.replace('%PRELOAD%', preloads(list));
emit('index.html', html(main.slice(1)));
emit('c.html', html(first.slice(1)));

cpSync(join(app, 'static'), out, { recursive: true });
const shell = ['/app/', '/c', ...names.map((n) => `/app/assets/${n}`), '/app/manifest.webmanifest', '/app/icon.svg'];
const worker = page('sw.js').replace('%VERSION%', hashOf(shell.join() + html([]))).replace("'%FILES%'", JSON.stringify(shell));
emit('sw.js', (await transform(worker, { minify: true })).code);

const { pages } = await import(join(app, 'pages.js'));
writeFileSync(join(out, 'pages.txt'), `${[...new Set(pages.map((p) => p.path))].join('\n')}\n`);

const total = scripts.reduce((sum, [, n]) => sum + n, 0);
const size = (list) => list.reduce((sum, n) => sum + (scripts.find(([name]) => name === `assets/${n}`)?.[1] ?? 0), 0);
const kb = (n) => `${(n / 1000).toFixed(1)} kB`;
console.log(`web app: ${kb(total)} of scripts gzipped in ${scripts.length} files; check-in page ${kb(size(first))}; budget ${kb(BUDGET)}`);
if (total > BUDGET)
	throw new Error('the scripts are over their budget');
