/*
 * Pictures of a face: from the front camera or from a file.  What is sent is drawn anew, so it is small and carries nothing of what a
 * phone writes into its files (place, time, make).
 */
const MAX_SIDE = 1280;
const QUALITY = 0.9;
const FIRST_FRAME_MS = 5_000;

/** Why there is no camera: "denied", "missing", "insecure"; for the words of scan.*. */
export function cameraFault(e) {
	if (!navigator.mediaDevices?.getUserMedia)
		return isSecureContext ? 'missing' : 'insecure';
	return e?.name === 'NotAllowedError' ? 'denied' : 'missing';
}

/** Shows the front camera in `video`; throws what getUserMedia throws.  Gives what stops it. */
export async function openFront(video) {
	const stream = await navigator.mediaDevices.getUserMedia({
		audio: false, video: { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 960 } },
	});
	const stop = () => stream.getTracks().forEach((track) => track.stop());
	video.srcObject = stream;
	await video.play().catch(() => undefined);
	if (!video.videoWidth)
		await new Promise((resolve) => {
			video.addEventListener('loadeddata', resolve, { once: true });
			setTimeout(resolve, FIRST_FRAME_MS); /* a page that was left meanwhile never sees one, and the camera must go off */
		});
	return stop;
}

function jpeg(source, width, height) {
	const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
	const canvas = document.createElement('canvas');
	canvas.width = Math.round(width * scale);
	canvas.height = Math.round(height * scale);
	canvas.getContext('2d').drawImage(source, 0, 0, canvas.width, canvas.height);
	return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no picture'))), 'image/jpeg', QUALITY));
}

/** What the camera sees now, not mirrored. */
export const grab = (video) => jpeg(video, video.videoWidth, video.videoHeight);

/** A chosen file; throws where it is no picture. */
export async function fromFile(file) {
	const bitmap = await createImageBitmap(file);
	try {
		return await jpeg(bitmap, bitmap.width, bitmap.height);
	} finally {
		bitmap.close();
	}
}
