/*
 * This browser as the device that attendance is marked with: one key pair, whoever signs in.  The server knows which key is whose; two
 * accounts with one key are seen as what they are, one device.
 */
import { canSign, isKey, makeKey, sign } from './keys.js';
import { api } from './session.js';
import { load, save } from './store.js';

const ID = 'device';

/**
 * What the account has, seen from here.  `here`: "bound", "asked" (waits for an administrator), "free" (nothing is registered), "other"
 * (another device is), "none" (this browser cannot keep a key).
 */
export async function deviceState() {
	const [own, key] = await Promise.all([api('/api/v1/student/device'), load(ID)]);
	return { ...own, here: hereOf(own, key) };
}

function hereOf({ device, request }, key) {
	if (isKey(key, device?.public_key))
		return 'bound';
	if (!canSign())
		return 'none';
	if (isKey(key, request?.public_key))
		return 'asked';
	return device ? 'other' : 'free';
}

/** Registers this browser, or asks for it. */
export async function register(reason) {
	let key = await load(ID);
	if (!key) {
		key = await makeKey();
		await save(ID, key);
	}
	return api('/api/v1/student/device/bind', { method: 'POST', body: { public_key: key.jwk, reason: reason?.trim() || undefined } });
}

/** What a mark carries to show that it comes from here; nothing where there is no key. */
export async function signedFor(presented) {
	const key = await load(ID);
	if (!key)
		return {};
	const { challenge } = await api('/api/v1/student/device/challenge');
	return { device_challenge: challenge, device_signature: await sign(key, `${challenge}\0${presented}`) };
}
