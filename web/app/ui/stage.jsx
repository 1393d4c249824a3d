/*
 * The screen of a room.  When the server is lost, the last code stays until it expires and is then covered, so that nobody scans a dead
 * one.
 */
import { useEffect, useRef, useState } from 'preact/hooks';

import { recall, remember, t } from '../lib/i18n.js';
import { startSession } from '../lib/session.js';
import { useSecondsLeft } from '../lib/time.js';
import { Icon } from './icons.jsx';
import { Button, errorText, Failure, IconButton, Ring, Say, Skeleton } from './parts.jsx';
import { QrCode } from './qr.jsx';

const NAMES = 'muster.names';

function useWakeLock() {
	useEffect(() => {
		let lock = null, over = false;
		const release = () => lock?.release().catch(() => undefined);
		const take = async () => {
			if (document.visibilityState === 'visible')
				lock = await navigator.wakeLock?.request('screen').catch(() => null);
			if (over)
				release();
		};
		take();
		addEventListener('visibilitychange', take);
		return () => {
			over = true;
			removeEventListener('visibilitychange', take);
			release();
		};
	}, []);
}

const local = /^(localhost|127\.|\[::1\])/.test(location.hostname);

function Code({ shown, error }) {
	const left = useSecondsLeft(shown?.until ?? null);
	if (!shown)
		return (
			<div class="qr-box empty-code">
				{error ? <div class="stale"><Icon name="cloud" size={40} /><strong>{t('project.lost')}</strong><span>{errorText(error)}</span></div> : <div class="spinner" role="status" aria-label={t('loading')} />}
			</div>
		);
	const stale = left <= 0;
	return (
		<>
			<div class={`qr-box ${stale ? 'covered' : ''}`}>
				{!stale && <QrCode label={t('project.qr')} text={`${location.origin}/c#${shown.payload}`} />}
				{stale && <div class="stale" role="alert"><Icon name="cloud" size={48} /><strong>{t('project.stale')}</strong><span>{t('project.staleText')}</span></div>}
			</div>
			<div class="project-side">
				<Ring left={left} of={shown.life} size={92} stroke={7}>{Math.ceil(left)}</Ring>
				<div class="typed">
					<span>{t('project.typed')}</span>
					{shown.label && <small>{t('project.label', { label: shown.label })}</small>}
					<b data-code={shown.code}>{stale ? '––– –––' : `${shown.code.slice(0, 3)} ${shown.code.slice(3)}`}</b>
				</div>
				{error && !stale && <p class="project-warn" role="status"><Icon name="cloud" size={18} /> {t('project.retrying')}</p>}
				{local && <p class="project-warn"><Icon name="info" size={18} /> {t('project.local', { host: location.host })}</p>}
			</div>
		</>
	);
}

/* `back` is where the cross leads, null on a screen that nobody is signed in at; `count` and `latest` come with the frames. */
function Stage({ title, lead, back, frames }) {
	const stage = useRef(null);
	const [full, setFull] = useState(false);
	const [names, setNames] = useState(() => recall(NAMES) !== 'off');
	useWakeLock();
	useEffect(() => {
		const seen = () => setFull(!!document.fullscreenElement);
		addEventListener('fullscreenchange', seen, true);
		return () => removeEventListener('fullscreenchange', seen, true);
	}, []);
	const count = frames.count ?? 0;
	return (
		<div class="project" ref={stage}>
			<header>
				<div>
					<h1 tabIndex={-1}>{title}</h1>
					<p>{lead}</p>
				</div>
				<div class="project-tools">
					<IconButton icon="people" label={t(names ? 'project.hideNames' : 'project.showNames')} aria-pressed={names} onClick={() => {
						remember(NAMES, names ? 'off' : 'on');
						setNames(!names);
					}} />
					{document.fullscreenEnabled && !full && <IconButton icon="screen" label={t('project.full')} onClick={() => stage.current.requestFullscreen().catch(() => undefined)} />}
					{!full && back && <a class="icon-button" href={back.href} aria-label={t('close')} title={t('close')}><Icon name="cross" /></a>}
					{full && <IconButton icon="cross" label={t('project.leave')} onClick={() => document.exitFullscreen()} />}
				</div>
			</header>
			<div class="project-body">
				{frames.over
					? <div class="qr-box empty-code"><div class="stale" role="alert"><Icon name="info" size={48} /><strong>{errorText(frames.over)}</strong>{back && <Button href={back.href}>{t('project.back')}</Button>}</div></div>
					: <Code shown={frames.shown} error={frames.lost} />}
			</div>
			<footer>
				{!frames.over && <p class="how">{t('project.how')}</p>}
				{names && frames.latest.length > 0 && <p class="latest">{frames.latest.join(' · ')}</p>}
				<p class="project-count"><b>{count}</b> {t('project.count', { n: count })}</p>
				<Say>{t('events.count', { n: count })}</Say>
			</footer>
		</div>
	);
}

/*
 * A page that shows one.  Signed in, it reads `source`; with a link from elsewhere it knows only what comes with the frames.
 * `back`: {href, list, label}.
 */
export function Screen({ source, frames, ready, handed, title, lead, back }) {
	if (ready || (handed && (frames.over || frames.lost)))
		return <Stage title={title ?? t('project.title')} lead={lead} back={back} frames={frames} />;
	if (!handed && source.error)
		return <div class="project broken"><Failure error={source.error} retry={() => startSession().then(source.reload)} /><Button href={back.list}>{back.label}</Button></div>;
	return <Skeleton />;
}
