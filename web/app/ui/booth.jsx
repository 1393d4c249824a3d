/* Pictures of one's own face: one that is looked at before it is used, or three with the head turned as the server asks. */
import { useEffect, useRef, useState } from 'preact/hooks';

import { t } from '../lib/i18n.js';
import { cameraFault, fromFile, grab, openFront } from '../lib/photo.js';
import { useSecondsLeft } from '../lib/time.js';
import { Icon } from './icons.jsx';
import { Button, Failure, Ring } from './parts.jsx';
import { Photo } from './photo.jsx';

const POSE_MS = 4_000;

/* The front camera in `video`, while the component is there: {phase: "asking" | "on" | "none", why}, and another try. */
function useFront(video) {
	const [state, set] = useState({ phase: 'asking', why: null });
	const [attempt, setAttempt] = useState(0);
	useEffect(() => {
		let gone = false, stop = null;
		set({ phase: 'asking', why: null });
		openFront(video.current).then((end) => {
			stop = end;
			if (gone)
				stop();
			else
				set({ phase: 'on', why: null });
		}, (e) => gone || set({ phase: 'none', why: cameraFault(e) }));
		return () => {
			gone = true;
			stop?.();
		};
	}, [attempt]);
	return { ...state, again: () => setAttempt((n) => n + 1) };
}

function Finder({ camera, video, children }) {
	return (
		<div class={`viewfinder selfie ${camera.phase}`}>
			<video ref={video} class="mirror" playsinline muted aria-label={t('photo.view')} />
			{camera.phase === 'asking' && <p>{t('photo.asking')}</p>}
			{camera.phase === 'none' && (
				<div class="no-camera">
					<Icon name="camera" size={36} />
					<strong>{t(`scan.${camera.why}`)}</strong>
					<p>{t(`photo.${camera.why}Text`)}</p>
					{camera.why === 'denied' && <Button onClick={camera.again}>{t('again')}</Button>}
				</div>
			)}
			{children}
		</div>
	);
}

/* `capture`: a phone opens its camera app, which needs no permission of the page. */
function FileButton({ kind = 'plain', capture, onPicture, onBad, children }) {
	const chosen = async (e) => {
		const file = e.currentTarget.files[0];
		e.currentTarget.value = '';
		if (file)
			await fromFile(file).then(onPicture, onBad);
	};
	return (
		<label class={`button ${kind} file`}>
			<Icon name={capture ? 'camera' : 'picture'} size={18} /><span>{children}</span>
			<input type="file" accept="image/*" capture={capture ? 'user' : undefined} onChange={chosen} />
		</label>
	);
}

/**
 * One picture.  `use`: the words of the button that gives it to `onUse(blob)`; `files`: pictures from the gallery are as good.
 */
export function Booth({ use, onUse, busy, files }) {
	const video = useRef(null);
	const camera = useFront(video);
	const [taken, setTaken] = useState(null);
	const [note, setNote] = useState('');
	const got = (blob) => {
		setNote('');
		setTaken(blob);
	};
	const bad = () => setNote(t('photo.unreadable'));
	const said = note || (taken ? t('photo.look') : camera.phase === 'on' ? t('photo.aim') : '');
	return (
		<div class="scanner">
			<Finder camera={taken ? { phase: 'on' } : camera} video={video}>
				{taken ? <Photo blob={taken} label={t('photo.taken')} mirror /> : camera.phase === 'on' && <i class="face-guide" aria-hidden="true" />}
			</Finder>
			<p class="hint center" role="status">{said}</p>
			<div class="scan-actions">
				{taken && <Button kind="primary" icon="check" busy={busy} onClick={async () => (await onUse(taken), setTaken(null))}>{use}</Button>}
				{taken && <Button onClick={() => setTaken(null)}>{t('photo.again')}</Button>}
				{!taken && camera.phase === 'on' && <Button kind="primary" icon="camera" onClick={() => grab(video.current).then(got, bad)}>{t('photo.take')}</Button>}
				{!taken && camera.phase === 'none' && <FileButton kind="primary" capture onPicture={got} onBad={bad}>{t('photo.app')}</FileButton>}
				{!taken && files && <FileButton onPicture={got} onBad={bad}>{t('photo.file')}</FileButton>}
			</div>
		</div>
	);
}

/* What to do now: an arrow as large as the picture, and the same in words for who does not see it. */
function Pose({ pose, until }) {
	const left = useSecondsLeft(until);
	return (
		<div class={`pose ${pose}`} aria-hidden="true">
			{pose === 'straight' ? <Icon name="face" size={72} /> : <Icon name="arrow" size={96} />}
			{until && <Ring left={left} of={POSE_MS / 1000} size={64} stroke={6}>{Math.ceil(left)}</Ring>}
		</div>
	);
}

/**
 * Three pictures, with the head as the server asks.  `challenge()` gets {challenge, poses}; `onDone(pictures, token)`.  With a camera each
 * is taken by itself after a countdown; without one the phone's camera app takes them in turn.
 */
export function Poses({ challenge, onDone }) {
	const video = useRef(null);
	const camera = useFront(video);
	const [asked, setAsked] = useState(null); /* {challenge, poses} */
	const [pictures, setPictures] = useState([]);
	const [until, setUntil] = useState(null);
	const [problem, setProblem] = useState(null);
	const pose = asked?.poses[pictures.length];
	const live = camera.phase === 'on';

	const begin = async () => {
		setProblem(null);
		setPictures([]);
		try {
			setAsked(await challenge());
		} catch (e) {
			setProblem(e);
		}
	};
	const got = (blob) => {
		const all = [...pictures, blob];
		setPictures(all);
		if (all.length === asked.poses.length)
			onDone(all, asked.challenge);
	};
	useEffect(() => {
		if (!pose || !live) {
			setUntil(null);
			return undefined;
		}
		setUntil(performance.now() + POSE_MS);
		const timer = setTimeout(() => video.current && grab(video.current).then(got, setProblem), POSE_MS);
		return () => clearTimeout(timer);
	}, [asked, pictures, live]);

	return (
		<div class="scanner">
			<Finder camera={camera} video={video}>
				{live && (pose ? <Pose pose={pose} until={until} /> : <i class="face-guide" aria-hidden="true" />)}
			</Finder>
			<p class="pose-words" role="status" aria-live="assertive">
				{pose ? t(`pose.${pose}`, { n: pictures.length + 1 }) : asked ? t('pose.done') : t('pose.how')}
			</p>
			<Failure error={problem} />
			<div class="scan-actions">
				{(!asked || problem) && camera.phase !== 'asking' && <Button kind="primary" icon="face" onClick={begin}>{t('pose.start')}</Button>}
				{pose && camera.phase === 'none' && <FileButton kind="primary" capture onPicture={got} onBad={() => setProblem({ code: 'unreadable' })}>{t('pose.take')}</FileButton>}
			</div>
		</div>
	);
}
