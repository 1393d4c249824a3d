/*
 * Keeps the shell of the app, so that it opens without a network; a check-in under way then waits in IndexedDB.  It never keeps an
 * answer of the API.  The list of files and the version come from web/build.mjs.
 */
const CACHE = 'muster-shell-%VERSION%';
const FILES = '%FILES%';

addEventListener('install', (e) => {
	e.waitUntil(caches.open(CACHE).then((c) => c.addAll(FILES)).then(() => self.skipWaiting()));
});

addEventListener('activate', (e) => {
	const old = (name) => name.startsWith('muster-shell-') && name !== CACHE;
	e.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((n) => caches.delete(n)))).then(() => self.clients.claim()));
});

/* Files whose names carry their hash never change; a page is asked from the server first, so that an update shows at once. */
async function answer(request, url) {
	if (url.pathname.startsWith('/app/assets/')) {
		const kept = await caches.match(request);
		if (kept)
			return kept;
		const reply = await fetch(request);
		if (reply.ok)
			(await caches.open(CACHE)).put(request, reply.clone());
		return reply;
	}
	try {
		return await fetch(request);
	} catch (e) {
		const shell = request.mode === 'navigate' ? (url.pathname === '/c' ? '/c' : '/app/') : url.pathname;
		const kept = await caches.match(shell);
		if (kept)
			return kept;
		throw e;
	}
}

addEventListener('fetch', (e) => {
	const url = new URL(e.request.url);
	const ours = url.pathname === '/c' || url.pathname.startsWith('/app/');
	if (e.request.method === 'GET' && url.origin === location.origin && ours)
		e.respondWith(answer(e.request, url));
});
