/* Scanning in the app: camera, picture, typed code. */
import { useEffect, useRef, useState } from 'preact/hooks';

import { openCamera, readPicture } from '../lib/camera.js';
import { payloadOf, take } from '../lib/checkin.js';
import { useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { cameraFault } from '../lib/photo.js';
import { go } from '../lib/router.js';
import { session } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Icon } from '../ui/icons.jsx';
import { Button, Empty, Failure, Field, Form, PageHead, Skeleton, Tabs } from '../ui/parts.jsx';

const NEAR_MS = 12 * 3600_000;

function checkIn(input) {
	go('/c');
	take(input);
}

/* True when it was a code of ours. */
function accept(text) {
	const payload = payloadOf(text);
	if (payload)
		checkIn({ qr_payload: payload });
	return !!payload;
}

function Picture({ onForeign }) {
	const [busy, set] = useState(false);
	const chosen = async (e) => {
		const file = e.currentTarget.files[0];
		e.currentTarget.value = '';
		if (!file)
			return;
		set(true);
		const text = await readPicture(file).catch(() => null);
		set(false);
		if (!text || !accept(text))
			onForeign(t(text ? 'scan.foreign' : 'scan.noCode'));
	};
	return (
		<label class="button plain file" data-busy={busy || undefined}>
			<Icon name="picture" size={18} /><span>{t('scan.picture')}</span>
			<input type="file" accept="image/*" onChange={chosen} />
		</label>
	);
}

function Camera({ onTyped }) {
	const video = useRef(null);
	const camera = useRef(null);
	const [state, set] = useState({ phase: 'asking' });
	const [note, setNote] = useState('');
	const [torch, setTorch] = useState(false);
	const [attempt, setAttempt] = useState(0);

	useEffect(() => {
		let gone = false;
		if (!navigator.mediaDevices?.getUserMedia) {
			set({ phase: 'none', why: cameraFault() });
			return undefined;
		}
		set({ phase: 'asking' });
		openCamera(video.current, (text) => {
			if (gone)
				return;
			if (accept(text))
				gone = true;
			else
				setNote(t('scan.foreign'));
		}).then((c) => {
			if (gone) {
				c.stop();
				return;
			}
			camera.current = c;
			set({ phase: 'on', torch: !!c.torch });
		}, (e) => gone || set({ phase: 'none', why: cameraFault(e) }));
		return () => {
			gone = true;
			camera.current?.stop();
			camera.current = null;
		};
	}, [attempt]);

	return (
		<div class="scanner">
			<div class={`viewfinder ${state.phase}`}>
				<video ref={video} playsinline muted aria-label={t('scan.view')} />
				{state.phase === 'on' && <div class="aim" aria-hidden="true"><i /><i /><i /><i /></div>}
				{state.phase === 'asking' && <p>{t('scan.asking')}</p>}
				{state.phase === 'none' && (
					<div class="no-camera">
						<Icon name="scan" size={36} />
						<strong>{t(`scan.${state.why}`)}</strong>
						<p>{t(`scan.${state.why}Text`)}</p>
						{state.why === 'denied' && <Button onClick={() => setAttempt(attempt + 1)}>{t('again')}</Button>}
					</div>
				)}
			</div>
			<p class="hint center" role="status">{note || (state.phase === 'on' ? t('scan.aim') : '')}</p>
			<div class="scan-actions">
				{state.torch && <Button icon="light" aria-pressed={torch} onClick={() => camera.current.torch(!torch).then(() => setTorch(!torch), () => undefined)}>{t('scan.torch')}</Button>}
				<Picture onForeign={setNote} />
				<Button icon="keys" onClick={onTyped}>{t('scan.type')}</Button>
			</div>
		</div>
	);
}

function Typed() {
	const signedIn = session.value.state === 'in';
	const near = useRef({ from: new Date(Date.now() - NEAR_MS), to: new Date(Date.now() + NEAR_MS) }).current;
	const events = useData(signedIn ? `/api/events?from=${stamp(near.from)}&to=${stamp(near.to)}` : null);
	const all = useData(signedIn && events.data?.events.length === 0 ? '/api/events' : null);
	const own = useData(signedIn && session.value.user.role === 'student' ? '/api/v1/student/sessions' : null);
	const [form, set] = useState({ code: '', event: '' });
	const sessions = (own.data?.sessions ?? []).map((s) => ({ id: s.id, title: s.course ? `${s.course.code} · ${s.title}` : s.title, scheduled_at: s.starts_at }));
	const list = [...sessions, ...(events.data?.events.length ? events.data.events : all.data?.events ?? [])];
	const event = form.event || list[0]?.id || '';

	if (!signedIn)
		return <Empty icon="keys" title={t('scan.typedAccount')} action={<Button kind="primary" href="/app/?next=/app/scan">{t('signin.act')}</Button>}>{t('scan.typedAccountText')}</Empty>;
	if (events.loading || (events.data?.events.length === 0 && all.loading))
		return <Skeleton rows={3} />;
	if (events.error)
		return <Failure error={events.error} retry={events.reload} />;
	if (!list.length)
		return <Empty icon="calendar" title={t('scan.noEvents')}>{t('scan.noEventsText')}</Empty>;
	return (
		<Form class="form narrow" onSend={() => checkIn({ code: form.code.replace(/[\s-]/g, '').toUpperCase(), event_id: event })}>
			<Field label={t('scan.event')} as="select" value={event} onChange={(e) => set({ ...form, event: e.currentTarget.value })}>
				{list.map((x) => <option key={x.id} value={x.id}>{`${x.title} · ${moment(x.scheduled_at)}`}</option>)}
			</Field>
			<Field label={t('scan.code')} hint={t('scan.codeHint')} class="code-input" name="code" autocomplete="off" autocapitalize="characters" spellcheck={false}
				required minLength={6} maxLength={9} value={form.code} onInput={(e) => set({ ...form, code: e.currentTarget.value })} />
			<Button kind="primary wide" type="submit">{t('scan.submit')}</Button>
		</Form>
	);
}

const stamp = (d) => `${d.toISOString().slice(0, 19)}Z`;

export default function Scan() {
	const [mode, setMode] = useState('camera');
	return (
		<>
			<PageHead title={t('scan.title')} lead={t('scan.lead')}>
				<Tabs label={t('scan.mode')} value={mode} onChange={setMode} options={[{ value: 'camera', label: t('scan.camera') }, { value: 'typed', label: t('scan.typed') }]} />
			</PageHead>
			{mode === 'camera' ? <Camera onTyped={() => setMode('typed')} /> : <Typed />}
		</>
	);
}
