/*
 * The projector.  The code on the screen is renewed a few seconds before its end; the time left is counted from the server's answer by
 * this device's monotonic clock, so a wrong clock on the lecturer's laptop does not matter.  When the server is lost, the last code
 * stays until it expires and is then covered, so that nobody scans a dead one.
 */
import { useEffect, useRef, useState } from 'preact/hooks';

import { useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api, session, startSession } from '../lib/session.js';
import { clock, day, useSecondsLeft } from '../lib/time.js';
import { Icon } from '../ui/icons.jsx';
import { Button, errorText, Failure, IconButton, Ring, Say, Skeleton } from '../ui/parts.jsx';
import { QrCode } from '../ui/qr.jsx';

const RENEW_BEFORE_S = 8;
const RETRY_S = 3;
const COUNT_EVERY_S = 5;

/* The next code, again and again.  Gives {code, payload, until, life, error, over}. */
function useCodes(eventId, running) {
	const [state, set] = useState({ shown: null, error: null, over: null });
	useEffect(() => {
		if (!running)
			return undefined;
		let timer = 0, stopped = false;
		const next = async () => {
			let wait = RETRY_S;
			try {
				const asked = performance.now();
				const r = await api('/api/admin/qr-sessions', { method: 'POST', body: { event_id: eventId } });
				if (stopped)
					return;
				const life = r.expires_in_seconds;
				set({ shown: { payload: r.qr_payload, code: r.code, until: asked + life * 1000, life }, error: null, over: null });
				wait = Math.max(life - RENEW_BEFORE_S, life / 2);
			} catch (error) {
				if (stopped)
					return;
				if (error.status === 404 || error.status === 409) {
					set({ shown: null, error: null, over: error });
					return;
				}
				if (error.status === 401)
					return;
				set((s) => ({ ...s, error }));
				wait = Math.max(RETRY_S, error.retryAfter ?? 0);
			}
			timer = setTimeout(next, wait * 1000);
		};
		const online = () => {
			clearTimeout(timer);
			next();
		};
		next();
		addEventListener('online', online);
		return () => {
			stopped = true;
			clearTimeout(timer);
			removeEventListener('online', online);
		};
	}, [eventId, running]);
	return state;
}

function useWakeLock() {
	useEffect(() => {
		let lock = null;
		const take = async () => {
			if (document.visibilityState === 'visible')
				lock = await navigator.wakeLock?.request('screen').catch(() => null);
		};
		take();
		addEventListener('visibilitychange', take);
		return () => {
			removeEventListener('visibilitychange', take);
			lock?.release().catch(() => undefined);
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
					<b data-code={shown.code}>{stale ? '––– –––' : `${shown.code.slice(0, 3)} ${shown.code.slice(3)}`}</b>
				</div>
				{error && !stale && <p class="project-warn" role="status"><Icon name="cloud" size={18} /> {t('project.retrying')}</p>}
				{local && <p class="project-warn"><Icon name="info" size={18} /> {t('project.local', { host: location.host })}</p>}
			</div>
		</>
	);
}

export default function Project({ params }) {
	const event = useData(`/api/events/${params.id}`, { every: COUNT_EVERY_S });
	const { state } = session.value;
	const codes = useCodes(params.id, state === 'in');
	const stage = useRef(null);
	const [full, setFull] = useState(false);
	useWakeLock();
	useEffect(() => {
		const seen = () => setFull(!!document.fullscreenElement);
		addEventListener('fullscreenchange', seen, true);
		return () => removeEventListener('fullscreenchange', seen, true);
	}, []);

	if (event.loading)
		return <Skeleton />;
	const e = event.data;
	if (!e)
		return <div class="project"><Failure error={event.error} retry={() => startSession().then(event.reload)} /><Button href="/app/events">{t('events.title')}</Button></div>;
	return (
		<div class="project" ref={stage}>
			<header>
				<div>
					<h1 tabIndex={-1}>{e.title}</h1>
					<p>{day(e.scheduled_at)}, {clock(e.scheduled_at)}{e.notes && ` · ${e.notes}`}</p>
				</div>
				<div class="project-tools">
					{document.fullscreenEnabled && !full && <IconButton icon="screen" label={t('project.full')} onClick={() => stage.current.requestFullscreen().catch(() => undefined)} />}
					{!full && <a class="icon-button" href={`/app/events/${e.id}`} aria-label={t('close')} title={t('close')}><Icon name="cross" /></a>}
					{full && <IconButton icon="cross" label={t('project.leave')} onClick={() => document.exitFullscreen()} />}
				</div>
			</header>
			<div class="project-body">
				{codes.over
					? <div class="qr-box empty-code"><div class="stale" role="alert"><Icon name="info" size={48} /><strong>{errorText(codes.over)}</strong><Button href={`/app/events/${e.id}`}>{t('event.back')}</Button></div></div>
					: <Code shown={codes.shown} error={codes.error} />}
			</div>
			<footer>
				<p class="how">{t('project.how')}</p>
				<p class="project-count"><b>{e.attendance_count}</b> {t('project.count', { n: e.attendance_count })}</p>
				<Say>{t('events.count', { n: e.attendance_count })}</Say>
			</footer>
		</div>
	);
}
