/* One course: its roster, taken from a file after a look at what would happen, and who stays away. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { day } from '../lib/time.js';
import { Button, Chip, Dialog, DialogForm, Empty, Failure, Field, Listing, Notice, PageHead } from '../ui/parts.jsx';

function AddOne({ path, onClose, onSaved }) {
	const [form, set] = useState({ email: '', full_name: '' });
	const save = useAction(async () => {
		await api(path, { method: 'POST', body: { email: form.email.trim(), full_name: form.full_name.trim() || undefined } });
		onSaved();
	});
	const input = (name) => ({ name, value: form[name], error: save.error?.fields?.[name], onInput: (e) => set({ ...form, [name]: e.currentTarget.value }) });
	return (
		<DialogForm title={t('course.add')} action={save} act={t('course.add')} onClose={onClose}>
			<Field label={t('email')} type="email" required maxLength={254} {...input('email')} />
			<Field label={t('fullName')} hint={t('course.nameHint')} maxLength={200} {...input('full_name')} />
		</DialogForm>
	);
}

function Report({ report, done }) {
	return (
		<>
			<div role="status"><Notice kind={report.errors.length ? 'warn' : 'good'} title={t(done ? 'course.imported' : 'course.preview')}>{t('course.counts', { added: report.added, updated: report.updated, wrong: report.errors.length })}</Notice></div>
			{report.errors.length > 0 && <ul class="import-errors">{report.errors.map((e) => <li key={e.row}>{t('course.row', { row: e.row })} {e.message}</li>)}</ul>}
		</>
	);
}

function Import({ path, onClose, onSaved }) {
	const [file, setFile] = useState(null);
	const [report, setReport] = useState(null);
	const [done, setDone] = useState(false);
	const send = (text, dry) => api(`${path}${dry ? '?dry_run=true' : ''}`, { method: 'POST', text, type: 'text/csv' });
	const look = useAction(async (chosen) => {
		setReport(null);
		setDone(false);
		if (!chosen)
			return;
		const text = await chosen.text();
		setFile(text);
		setReport(await send(text, true));
	});
	const take = useAction(async () => {
		setReport(await send(file, false));
		setDone(true);
		onSaved();
	});
	return (
		<Dialog title={t('course.import')} onClose={onClose}>
			<div class="form">
				<p class="text">{t('course.importText')}</p>
				<Field label={t('course.file')} type="file" accept=".csv,text/csv" onChange={(e) => look.run(e.currentTarget.files[0])} />
				<Failure error={look.error ?? take.error} />
				{report && <Report report={report} done={done} />}
				<footer>
					<Button onClick={onClose}>{t(done ? 'close' : 'cancel')}</Button>
					{!done && <Button kind="primary" busy={take.busy} disabled={!report || report.added + report.updated === 0} onClick={take.run}>{t('course.importAct')}</Button>}
				</footer>
			</div>
		</Dialog>
	);
}

function Absences({ id }) {
	const source = useData(`/api/v1/lecturer/courses/${id}/absences?consecutive=3`);
	const rows = source.data?.absences ?? [];
	if (!rows.length)
		return <Failure error={source.error} />;
	return (
		<section>
			<h2 class="section">{t('course.absences')} <span class="count">{rows.length}</span></h2>
			<ul class="rows">
				{rows.map((a) => (
					<li class="request" key={a.student.id}>
						<div class="row-main"><strong>{a.student.full_name}</strong><span>{a.student.email}</span><small>{a.last_attended_at ? t('course.lastSeen', { day: day(a.last_attended_at) }) : t('course.neverSeen')}</small></div>
						<Chip kind="warn">{t('course.missed', { n: a.consecutive })}</Chip>
					</li>
				))}
			</ul>
		</section>
	);
}

export default function Course({ params }) {
	const courses = useData('/api/v1/lecturer/courses');
	const path = `/api/v1/lecturer/courses/${params.id}/roster`;
	const source = useData(path);
	const [dialog, setDialog] = useState(null);
	const course = courses.data?.courses.find((c) => c.id === params.id);
	const roster = source.data?.students ?? [];
	const saved = () => {
		source.reload();
		courses.reload();
	};
	const add = <Button icon="plus" onClick={() => setDialog('add')}>{t('course.add')}</Button>;
	const take = <Button kind="primary" onClick={() => setDialog('import')}>{t('course.import')}</Button>;
	return (
		<>
			<PageHead title={course?.title ?? t('course.title')} lead={course?.code} back={{ href: '/app/courses', label: t('courses.title') }}>{add}{take}</PageHead>
			<Absences id={params.id} />
			<h2 class="section">{t('course.roster')} <span class="count">{roster.length}</span></h2>
			<Listing source={source} count={roster.length} empty={<Empty icon="people" title={t('course.empty')} action={take}>{t('course.emptyText')}</Empty>}>
				<ul class="rows">{roster.map((s) => <li key={s.id}><div class="row-main"><strong>{s.full_name}</strong><span>{s.email}</span></div></li>)}</ul>
			</Listing>
			{dialog === 'add' && <AddOne path={path} onClose={() => setDialog(null)} onSaved={() => {
				setDialog(null);
				saved();
			}} />}
			{dialog === 'import' && <Import path={path} onClose={() => setDialog(null)} onSaved={saved} />}
		</>
	);
}
