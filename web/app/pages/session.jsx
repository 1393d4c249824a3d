/*
 * One session: its roll, live, with one key for each status; what waits for a decision; projecting, closing, a new label, export.
 * On a focused row p, l, e and a mean present, late, excused and absent; u takes the last change back.
 */
import { useRef, useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api, session } from '../lib/session.js';
import { clock, fullDay, moment } from '../lib/time.js';
import { ElsewhereButton } from '../ui/elsewhere.jsx';
import { Export } from '../ui/export.jsx';
import { FlaggedRows, QUEUE_MAX } from '../ui/flagged.jsx';
import { said } from '../ui/layers.jsx';
import { ManualAdd } from '../ui/manual.jsx';
import { Button, Confirm, Empty, Failure, Field, PageHead, Say, Skeleton, Tabs } from '../ui/parts.jsx';
import { SessionDialog, StateChip } from '../ui/session.jsx';
import { StatusChip } from '../ui/status.jsx';

const LIVE_S = 5;
const keys = { p: 'present', l: 'late', e: 'excused', a: 'absent' };
const filters = ['all', 'present', 'late', 'excused', 'absent', 'flagged', 'rejected'];

function Row({ r, onSet }) {
	return (
		<tr tabIndex={0} aria-keyshortcuts="p l e a" onKeyDown={(e) => {
			const status = !e.ctrlKey && !e.metaKey && !e.altKey && e.target === e.currentTarget && keys[e.key.toLowerCase()];
			if (status && status !== r.status)
				onSet(r, status);
			else if (e.key === 'ArrowDown' || e.key === 'ArrowUp')
				(e.key === 'ArrowDown' ? e.currentTarget.nextElementSibling : e.currentTarget.previousElementSibling)?.focus();
			else
				return;
			e.preventDefault();
		}}>
			<th scope="row"><a class="name-link" href={`/app/records/${r.attendance_id}`}>{r.user.full_name}</a></th>
			<td>{r.user.email}</td>
			<td><StatusChip status={r.status} /></td>
			<td>{t(`method.${r.method}`)}</td>
			<td>{moment(r.marked_at)}{r.reason && <small class="cell-note">{said(r.reason)}</small>}</td>
			<td class="one-key" role="group" aria-label={t('roll.set', { name: r.user.full_name })}>
				{Object.entries(keys).map(([key, status]) => (
					<button type="button" key={key} aria-pressed={r.status === status} title={t(`status.${status}`)} aria-label={t(`status.${status}`)} onClick={() => r.status !== status && onSet(r, status)}>{t(`roll.key.${status}`)}</button>
				))}
			</td>
		</tr>
	);
}

function Roll({ id, source }) {
	const [search, setSearch] = useState('');
	const [only, setOnly] = useState('all');
	const [last, setLast] = useState(null);
	const change = useAction(async (r, status, undo) => {
		const reason = undo ? t('roll.undone') : t('roll.byHand');
		await api(`/api/v1/lecturer/sessions/${id}/attendance/${r.attendance_id}`, { method: 'PATCH', body: { status, reason } });
		setLast(undo || !keysOf(r.status) ? null : { ...r, to: status });
		source.reload();
	});
	/* Keys are faster than the network: each waits for the one before. */
	const turn = useRef(Promise.resolve());
	const set = (...what) => {
		turn.current = turn.current.then(() => change.run(...what));
	};
	const records = source.data?.records ?? [];
	const word = search.trim().toLocaleLowerCase();
	const shown = records.filter((r) => (only === 'all' || r.status === only) && (!word || `${r.user.full_name} ${r.user.email}`.toLocaleLowerCase().includes(word)));
	if (source.loading)
		return <Skeleton />;
	return (
		<div onKeyDown={(e) => {
			if (e.key.toLowerCase() === 'u' && last && e.target.tagName === 'TR')
				set(last, last.status, true);
		}}>
			<Failure error={source.error ?? change.error} retry={source.error && source.reload} />
			<Say>{t('events.count', { n: records.length })}</Say>
			{source.data && records.length === 0 && <Empty icon="people" title={t('event.noOne')}>{t('event.noOneText')}</Empty>}
			{records.length > 0 && (
				<>
					<div class="filters">
						<Field label={t('event.search')} type="search" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />
						<Tabs label={t('event.status')} value={only} onChange={setOnly} options={filters.filter((f) => f === 'all' || records.some((r) => r.status === f)).map((f) => ({ value: f, label: f === 'all' ? t('roll.all') : t(`status.${f}`) }))} />
					</div>
					<p class="hint">{t('roll.keys')}</p>
					{last && <div class="notice info" role="status"><div>{t('roll.changed', { name: last.user.full_name, status: t(`status.${last.to}`) })} <Button kind="quiet" busy={change.busy} onClick={() => set(last, last.status, true)}>{t('roll.undo')}</Button></div></div>}
				</>
			)}
			{records.length > 0 && shown.length === 0 && <p class="hint">{t('event.noMatch')}</p>}
			{shown.length > 0 && (
				<div class="table-box" tabIndex={0} role="region" aria-label={t('event.roll')}>
					<table>
						<thead><tr><th scope="col">{t('fullName')}</th><th scope="col">{t('email')}</th><th scope="col">{t('event.status')}</th><th scope="col">{t('event.how')}</th><th scope="col">{t('event.when')}</th><th scope="col">{t('roll.mark')}</th></tr></thead>
						<tbody>{shown.map((r) => <Row key={r.attendance_id} r={r} onSet={set} />)}</tbody>
					</table>
				</div>
			)}
		</div>
	);
}

/* Statuses that a lecturer may give back. */
const keysOf = (status) => Object.values(keys).includes(status);

export default function SessionPage({ params }) {
	const path = `/api/v1/lecturer/sessions/${params.id}`;
	const source = useData(path, { every: LIVE_S });
	const roll = useData(`${path}/attendance`, { every: LIVE_S });
	const flagged = useData(`${path}/flagged?limit=${QUEUE_MAX}`, { every: 2 * LIVE_S });
	const [dialog, setDialog] = useState(null);
	const close = () => setDialog(null);
	const all = () => {
		close();
		source.reload();
		roll.reload();
		flagged.reload();
	};
	const act = (what) => async () => {
		await api(`${path}/${what}`, { method: 'POST', ...(what === 'rest-absent' && { body: {} }) });
		all();
	};
	const actions = { close: useAction(act('close')), regenerate: useAction(act('regenerate')), 'rest-absent': useAction(act('rest-absent')) };
	const s = source.data;
	const back = { href: '/app/sessions', label: t('sessions.title') };

	if (source.loading)
		return <><PageHead title={t('session.title')} back={back} /><Skeleton /></>;
	if (!s)
		return <><PageHead title={t('session.title')} back={back} /><Failure error={source.error} retry={source.reload} /></>;
	const open = s.status !== 'closed';
	return (
		<>
			<PageHead title={s.title} back={back} lead={`${fullDay(s.starts_at)}, ${clock(s.starts_at)} – ${clock(s.ends_at)}${s.course ? ` · ${s.course.code} ${s.course.title}` : ''}`}>
				{open && <Button kind="primary" icon="screen" href={`/app/screen/${s.id}`}>{t('event.project')}</Button>}
				{open && <ElsewhereButton base={path} page={`/app/screen/${s.id}`} />}
			</PageHead>
			<p class="session-facts"><StateChip status={s.status} /> {s.code && open && <span>{t('session.label')} <b>{s.code}</b></span>}
				{s.geofence_radius_m && <span>{t('session.fenced', { metres: s.geofence_radius_m })}</span>}
				{s.late_after_minutes != null && <span>{t('session.lateAfter', { n: s.late_after_minutes })}</span>}</p>
			<div class="actions">
				{open && <Button onClick={() => setDialog('close')}>{t('session.close')}</Button>}
				{open && <Button onClick={() => setDialog('regenerate')}>{t('session.regenerate')}</Button>}
				{s.course && s.status !== 'scheduled' && <Button onClick={() => setDialog('rest-absent')}>{t('session.restAbsent')}</Button>}
				{open && <Button icon="edit" onClick={() => setDialog('edit')}>{t('edit')}</Button>}
			</div>
			{flagged.data && (
				<section>
					{flagged.data.total > 0 && <h2 class="section">{t('flagged.title')} <span class="count">{flagged.data.total}</span></h2>}
					<FlaggedRows queue={flagged.data} name={s.id} onDecided={all} />
				</section>
			)}
			<div class="section-head">
				<h2 class="section">{t('event.roll')} <span class="count">{roll.data?.records.length ?? 0}</span></h2>
				<div class="actions">
					{(s.course || session.value.user.role === 'admin') && <Button icon="plus" onClick={() => setDialog('add')}>{t('manual.add')}</Button>}
					<Export path={`${path}/export?format=csv`} title={s.title} at={s.starts_at} format="csv" />
					<Export path={`${path}/export?format=xlsx`} title={s.title} at={s.starts_at} format="xlsx" />
				</div>
			</div>
			<Roll id={s.id} source={roll} />
			{dialog === 'edit' && <SessionDialog session={s} onClose={close} onSaved={all} />}
			{dialog === 'add' && <ManualAdd path={`${path}/attendance`} course={s.course} known={roll.data?.records ?? []} onClose={close} onSaved={all} />}
			{['close', 'regenerate', 'rest-absent'].includes(dialog) && <Confirm title={t(`session.${dialog}Title`)} text={t(`session.${dialog}Text`)} act={t(`session.${dialog}Act`)} action={actions[dialog]} onClose={close} />}
		</>
	);
}
