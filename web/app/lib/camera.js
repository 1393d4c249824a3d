/*
 * The camera and the decoder.  The decoder runs in a worker and is loaded when the scanner opens; where the browser reads codes itself
 * (BarcodeDetector) it is asked first.
 */
const MAX_SIDE = 1000; /* of a frame given to the decoder; larger costs time and finds no more */

export function openDecoder() {
	const worker = new Worker(WORKER_URL); /* set by web/build.mjs */
	const waiting = new Map();
	let next = 1;
	worker.postMessage({ type: 'inversionMode', data: 'both' });
	worker.onmessage = ({ data }) => {
		waiting.get(data.id)?.(data.data);
		waiting.delete(data.id);
	};
	return {
		decode(image) {
			const id = next++;
			return new Promise((resolve) => {
				waiting.set(id, resolve);
				worker.postMessage({ id, type: 'decode', data: image }, [image.data.buffer]);
			});
		},
		close: () => worker.terminate(),
	};
}

async function nativeDetector() {
	try {
		const formats = await globalThis.BarcodeDetector?.getSupportedFormats();
		return formats?.includes('qr_code') ? new globalThis.BarcodeDetector({ formats: ['qr_code'] }) : null;
	} catch {
		return null;
	}
}

function pixels(source, width, height) {
	const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
	const canvas = document.createElement('canvas');
	canvas.width = Math.round(width * scale);
	canvas.height = Math.round(height * scale);
	const g = canvas.getContext('2d', { willReadFrequently: true });
	g.drawImage(source, 0, 0, canvas.width, canvas.height);
	return g.getImageData(0, 0, canvas.width, canvas.height);
}

async function read(decoder, native, source, width, height) {
	if (native) {
		const found = await native.detect(source).catch(() => []);
		if (found.length)
			return found[0].rawValue;
	}
	return decoder.decode(pixels(source, width, height));
}

/** The text of a code in a picture file, or null. */
export async function readPicture(file) {
	const bitmap = await createImageBitmap(file);
	const decoder = openDecoder();
	try {
		return await read(decoder, await nativeDetector(), bitmap, bitmap.width, bitmap.height);
	} finally {
		decoder.close();
		bitmap.close();
	}
}

/**
 * Shows the rear camera in `video` and calls `onText` with each code read.  Throws what getUserMedia throws.
 * @returns {Promise<{stop: () => void, torch: null | ((on: boolean) => Promise<void>)}>}
 */
export async function openCamera(video, onText) {
	const stream = await navigator.mediaDevices.getUserMedia({
		audio: false, video: { facingMode: { ideal: 'environment' }, width: { ideal: 1280 }, height: { ideal: 720 } },
	});
	const track = stream.getVideoTracks()[0];
	video.srcObject = stream;
	await video.play().catch(() => undefined);
	const decoder = openDecoder();
	const native = await nativeDetector();
	let running = true;
	(async () => {
		while (running) {
			if (video.videoWidth && document.visibilityState === 'visible') {
				const text = await read(decoder, native, video, video.videoWidth, video.videoHeight);
				if (text && running)
					onText(text);
			}
			await new Promise((resolve) => setTimeout(resolve, 80));
		}
	})();
	return {
		stop() {
			running = false;
			decoder.close();
			stream.getTracks().forEach((t) => t.stop());
			video.srcObject = null;
		},
		torch: track.getCapabilities?.().torch ? (on) => track.applyConstraints({ advanced: [{ torch: on }] }) : null,
	};
}
