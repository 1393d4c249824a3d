/* A short sound and vibration with a result.  Browsers allow both only after a touch; silence is then the right answer. */
let audio = null;

function tone(at, hertz, seconds) {
	const osc = audio.createOscillator();
	const gain = audio.createGain();
	osc.frequency.value = hertz;
	gain.gain.setValueAtTime(0.0001, at);
	gain.gain.exponentialRampToValueAtTime(0.18, at + 0.02);
	gain.gain.exponentialRampToValueAtTime(0.0001, at + seconds);
	osc.connect(gain).connect(audio.destination);
	osc.start(at);
	osc.stop(at + seconds);
}

/** @param {'good'|'bad'} kind */
export function feedback(kind) {
	if (!navigator.userActivation?.hasBeenActive)
		return;
	navigator.vibrate?.(kind === 'good' ? [60, 40, 120] : [200, 80, 200]);
	try {
		audio ??= new AudioContext();
		const now = audio.currentTime;
		if (kind === 'good') {
			tone(now, 660, 0.14);
			tone(now + 0.12, 990, 0.24);
		} else {
			tone(now, 220, 0.32);
		}
	} catch {
		/* no sound on this device */
	}
}
