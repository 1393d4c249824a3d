/*
 * One request to the API.  Knows the error shapes and nothing of sessions.
 *
 * Every failure is an ApiError: `code` is the server's stable code, or "offline" when no answer came.
 */

const TIMEOUT_MS = 20_000, UPLOAD_TIMEOUT_MS = 60_000; /* of a stream: until it begins */
const accepted = { json: 'application/json', blob: '*/*', stream: 'text/event-stream' };

export class ApiError extends Error {
	constructor(status, code, body, retryAfter = 0) {
		super(body?.message ?? code);
		this.status = status;
		this.code = code;
		this.body = body ?? {};
		const details = body?.details?.fields ?? body?.details;
		this.fields = details?.reduce?.((all, d) => ({ ...all, [d.field]: d.message }), {}) ?? {};
		this.retryAfter = retryAfter;
		this.requestId = body?.request_id;
	}

	/* The first request with this key is still being carried out, on another node. */
	get underWay() {
		return this.code === 'idempotency_in_progress';
	}

	/* The request may or may not have been carried out; it can be sent again with the same key. */
	get unknown() {
		return this.code === 'offline' || this.status >= 500 || this.underWay;
	}
}

/**
 * @param {string} path
 * `body` goes as JSON, `text` as it is with the content type `type`, `form` as multipart/form-data.
 *
 * @param {{method?: string, body?: any, form?: FormData, text?: string, type?: string, bearer?: string, web?: boolean, key?: string, lastEventId?: string, signal?: AbortSignal, as?: 'json'|'blob'|'stream'}} [o]
 */
export async function request(path, { method = 'GET', body, form, text: plain, type = 'application/json', bearer, web, key, lastEventId, signal, as = 'json' } = {}) {
	const headers = { Accept: accepted[as] };
	const sent = form ?? plain ?? (body === undefined ? undefined : JSON.stringify(body));
	if (sent !== undefined && !form)
		headers['Content-Type'] = type;
	if (bearer)
		headers.Authorization = `Bearer ${bearer}`;
	if (web)
		headers['X-Muster-Client'] = 'web';
	if (key)
		headers['Idempotency-Key'] = key;
	if (lastEventId)
		headers['Last-Event-ID'] = lastEventId;

	const stop = new AbortController();
	const timer = setTimeout(() => stop.abort(), form ? UPLOAD_TIMEOUT_MS : TIMEOUT_MS);
	signal?.addEventListener('abort', () => stop.abort());
	if (signal?.aborted) /* then its event is past */
		stop.abort();
	let reply, data = null;
	try {
		reply = await fetch(path, {
			method, headers, body: sent, signal: stop.signal,
			credentials: 'same-origin', cache: 'no-store', redirect: 'error',
		});
		if (reply.ok && as === 'blob')
			return await reply.blob();
		if (reply.ok && as === 'stream')
			return reply.body;
		const text = reply.status === 204 ? '' : await reply.text();
		data = text ? JSON.parse(text) : null;
	} catch (e) {
		if (signal?.aborted)
			throw e;
		if (!reply || !(e instanceof SyntaxError))
			throw new ApiError(0, 'offline');
	} finally {
		clearTimeout(timer);
	}
	if (reply.ok)
		return data;
	const error = data?.error;
	const code = typeof error === 'string' ? error : error?.details?.reason ?? (reply.status >= 500 ? 'internal_error' : 'not_found');
	throw new ApiError(reply.status, code, typeof error === 'object' && error ? error : data, Number(reply.headers.get('Retry-After')) || 0);
}

/* 128 random bits in hex: an Idempotency-Key.  (crypto.randomUUID needs HTTPS; this does not.) */
export function randomKey() {
	return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}

/* multipart/form-data with pictures. */
export function formOf(fields, name, pictures) {
	const form = new FormData();
	Object.entries(fields).filter(([, v]) => v !== undefined && v !== null).forEach(([k, v]) => form.append(k, v));
	pictures.forEach((p, i) => form.append(name, p, `${i + 1}.jpg`));
	return form;
}
