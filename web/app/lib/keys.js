/*
 * Key pairs that this browser keeps and never shows: one for each scan, and one that is the device (lib/device.js).  Without HTTPS the
 * browser has no cryptography, and there are none.
 */
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' };

export const canSign = () => !!globalThis.crypto?.subtle;

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

/** {privateKey, jwk}, or null */
export async function makeKey() {
	if (!canSign())
		return null;
	const pair = await crypto.subtle.generateKey(ALGORITHM, false, ['sign']);
	const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey);
	return { privateKey: pair.privateKey, jwk: { kty, crv, x, y } };
}

/** base64url of r‖s, ES256 over the text. */
export async function sign(key, text) {
	return base64url(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.privateKey, new TextEncoder().encode(text)));
}

export const isKey = (key, jwk) => !!key && !!jwk && key.jwk.x === jwk.x && key.jwk.y === jwk.y;
