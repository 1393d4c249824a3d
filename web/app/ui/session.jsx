/* A session's form, and the chip of its state. */
import { useRef, useState } from 'preact/hooks';

import { useAction, useData, usePost } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { fromLocalInput, toLocalInput } from '../lib/time.js';
import { Button, Chip, Dialog, errorText, Failure, Field, Form, Notice } from './parts.jsx';

const WEEK_MS = 7 * 86400_000;
const WEEKS_MAX = 20;

export function StateChip({ status }) {
	return <Chip kind={{ open: 'good', scheduled: 'info', closed: 'plain' }[status]}>{t(`state.${status}`)}</Chip>;
}

/* The device's own position, for a session that takes place here. */
function Place({ form, set, there }) {
	const find = useAction(() => new Promise((resolve, reject) => {
		if (!navigator.geolocation) {
			reject(new Error());
			return;
		}
		navigator.geolocation.getCurrentPosition(({ coords }) => {
			set((f) => ({ ...f, latitude: coords.latitude.toFixed(6), longitude: coords.longitude.toFixed(6), geofence_radius_m: f.geofence_radius_m || '100' }));
			resolve();
		}, reject, { enableHighAccuracy: true, timeout: 15_000 });
	}));
	const input = (name) => ({ name, type: 'number', step: 'any', required: there(name), value: form[name], onInput: (e) => set((f) => ({ ...f, [name]: e.currentTarget.value })) });
	return (
		<fieldset class="checks">
			<legend>{t('session.place')}</legend>
			{find.error && <Notice kind="warn">{t('session.noPlace')}</Notice>}
			<div class="pair">
				<Field label={t('session.latitude')} min={-90} max={90} {...input('latitude')} />
				<Field label={t('session.longitude')} min={-180} max={180} {...input('longitude')} />
			</div>
			<Field label={t('session.radius')} hint={t('session.radiusHint')} min={1} {...input('geofence_radius_m')} />
			<Button busy={find.busy} onClick={find.run}>{t('session.here')}</Button>
		</fieldset>
	);
}

function minutesOf(s) {
	return s ? Math.round((Date.parse(s.ends_at) - Date.parse(s.starts_at)) / 60_000) : 90;
}

function Check({ name, form, set, children }) {
	return <label><input type="checkbox" checked={form[name]} onChange={(e) => set({ ...form, [name]: e.currentTarget.checked })} /> <span>{children}</span></label>;
}

const number = (text) => (text === '' ? undefined : Number(text));

export function SessionDialog({ session: s, onClose, onSaved }) {
	const courses = useData('/api/v1/lecturer/courses');
	const post = usePost();
	const [form, set] = useState({
		course_id: s?.course?.id ?? '', title: s?.title ?? '', starts_at: toLocalInput(s?.starts_at ?? new Date().toISOString()),
		duration_minutes: String(minutesOf(s)), weeks: '1', rotate_seconds: s?.rotate_seconds ?? '', late_after_minutes: s?.late_after_minutes ?? '',
		latitude: s?.latitude ?? '', longitude: s?.longitude ?? '', geofence_radius_m: s?.geofence_radius_m ?? '',
		networks: (s?.networks ?? []).join('\n'), require_device: s?.require_device ?? false, require_face: s?.require_face ?? false, require_liveness: s?.require_liveness ?? false,
	});
	const made = useRef(0); /* weeks that stand, whatever becomes of the others: a correction is of what is left */
	const action = useAction(async () => {
		const networks = form.networks.split(/[\s,]+/).filter(Boolean);
		const body = {
			course_id: form.course_id || undefined, title: form.title.trim() || undefined, duration_minutes: Number(form.duration_minutes),
			rotate_seconds: number(form.rotate_seconds), late_after_minutes: number(form.late_after_minutes), latitude: number(form.latitude),
			longitude: number(form.longitude), geofence_radius_m: number(form.geofence_radius_m), networks: networks.length || s?.networks?.length ? networks : undefined,
			require_device: form.require_device, require_face: form.require_face, require_liveness: form.require_face && form.require_liveness,
		};
		const first = Date.parse(fromLocalInput(form.starts_at));
		if (s)
			await api(`/api/v1/lecturer/sessions/${s.id}`, { method: 'PATCH', body: { ...body, starts_at: fromLocalInput(form.starts_at) } });
		else
			for (; made.current < Number(form.weeks); made.current++)
				await post('/api/v1/lecturer/sessions', { ...body, starts_at: `${new Date(first + made.current * WEEK_MS).toISOString().slice(0, 19)}Z` });
		onSaved();
	});
	const { error } = action;
	const input = (name) => ({ name, value: form[name], onInput: (e) => set({ ...form, [name]: e.currentTarget.value }), error: error?.fields?.[name] });
	const there = (name) => s?.[name] != null; /* can be changed, not taken away */
	const list = courses.data?.courses ?? [];
	return (
		<Dialog wide title={t(s ? 'session.edit' : 'session.new')} onClose={onClose}>
			<Form onSend={action.run}>
				<div role="alert">{error && <Notice kind="bad">{error.code === 'face_unavailable' ? t('session.noFace') : errorText(error)}</Notice>}
					{error && made.current > 0 && <p>{t('session.weeksMade', { n: made.current })}</p>}</div>
				<Failure error={courses.error} retry={courses.reload} />
				<div class="pair">
					<Field label={t('session.course')} as="select" required={there('course')} value={form.course_id} onChange={(e) => set({ ...form, course_id: e.currentTarget.value })} hint={t('session.courseHint')}>
						<option value="">{t('session.noCourse')}</option>
						{list.map((c) => <option key={c.id} value={c.id}>{c.code} · {c.title}</option>)}
					</Field>
					<Field label={t('event.name')} required={there('title') || !form.course_id} maxLength={200} {...input('title')} />
				</div>
				<div class="pair">
					<Field label={t('event.starts')} type="datetime-local" required {...input('starts_at')} />
					<Field label={t('session.minutes')} type="number" min={1} max={1440} required {...input('duration_minutes')} />
				</div>
				{!s && <Field label={t('session.weeks')} type="number" min={1} max={WEEKS_MAX} required hint={t('session.weeksHint')} {...input('weeks')} />}
				<details class="more-fields" onInvalidCapture={(e) => {
					e.currentTarget.open = true; /* what is hidden cannot be complained about */
				}}>
					<summary>{t('session.rules')}</summary>
					<div class="pair">
						<Field label={t('session.late')} type="number" min={0} max={1440} required={there('late_after_minutes')} hint={t('session.lateHint')} {...input('late_after_minutes')} />
						<Field label={t('session.rotate')} type="number" min={2} max={300} required={there('rotate_seconds')} hint={t('session.rotateHint')} {...input('rotate_seconds')} />
					</div>
					<Place form={form} set={set} there={there} />
					<Field label={t('session.networks')} hint={t('session.networksHint')} as="textarea" rows={2} {...input('networks')} />
					<div class="checks">
						<Check name="require_device" form={form} set={set}>{t('session.device')}</Check>
						<Check name="require_face" form={form} set={set}>{t('session.face')}</Check>
						{form.require_face && <Check name="require_liveness" form={form} set={set}>{t('session.liveness')}</Check>}
					</div>
				</details>
				<footer>
					<Button onClick={onClose}>{t('cancel')}</Button>
					<Button kind="primary" type="submit" busy={action.busy}>{t(s ? 'save' : 'session.create')}</Button>
				</footer>
			</Form>
		</Dialog>
	);
}
