/* A lecturer's courses. */
import { useState } from 'preact/hooks';

import { useAction, useData, usePost } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { Icon } from '../ui/icons.jsx';
import { Button, DialogForm, Empty, Field, Listing, PageHead } from '../ui/parts.jsx';

function CourseDialog({ onClose, onSaved }) {
	const [form, set] = useState({ code: '', title: '' });
	const post = usePost();
	const save = useAction(async () => {
		await post('/api/v1/lecturer/courses', { code: form.code.trim(), title: form.title.trim() });
		onSaved();
	});
	const input = (name) => ({ name, required: true, value: form[name], error: save.error?.fields?.[name], onInput: (e) => set({ ...form, [name]: e.currentTarget.value }) });
	return (
		<DialogForm title={t('courses.new')} action={save} act={t('courses.create')} onClose={onClose}>
			<Field label={t('courses.code')} hint={t('courses.codeHint')} maxLength={40} {...input('code')} />
			<Field label={t('event.name')} maxLength={200} {...input('title')} />
		</DialogForm>
	);
}

export default function Courses() {
	const source = useData('/api/v1/lecturer/courses');
	const [creating, setCreating] = useState(false);
	const courses = source.data?.courses ?? [];
	const create = <Button kind="primary" icon="plus" onClick={() => setCreating(true)}>{t('courses.new')}</Button>;
	return (
		<>
			<PageHead title={t('courses.title')} lead={t('courses.lead')}>{create}</PageHead>
			<Listing source={source} count={courses.length} empty={<Empty icon="people" title={t('courses.empty')} action={create}>{t('courses.emptyText')}</Empty>}>
				<ul class="rows">
					{courses.map((c) => (
						<li key={c.id}>
							<a class="row-link" href={`/app/courses/${c.id}`}>
								<div class="row-main"><strong>{c.title}</strong><span>{c.code}</span></div>
								<div class="row-side"><span class="heads"><Icon name="people" size={18} /><span aria-hidden="true">{c.students}</span><span class="unseen">{t('courses.students', { n: c.students })}</span></span></div>
							</a>
						</li>
					))}
				</ul>
			</Listing>
			{creating && <CourseDialog onClose={() => setCreating(false)} onSaved={() => {
				setCreating(false);
				source.reload();
			}} />}
		</>
	);
}
