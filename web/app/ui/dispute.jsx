/* A student disagrees with a record, once. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { DialogForm, Field } from './parts.jsx';

export function Dispute({ id, onClose, onSent }) {
	const [note, setNote] = useState('');
	const send = useAction(async () => {
		await api(`/api/v1/student/attendance/${id}/dispute`, { method: 'POST', body: { note: note.trim() } });
		onSent();
	});
	return (
		<DialogForm title={t('mine.dispute')} text={t('mine.disputeText')} action={send} act={t('mine.send')} onClose={onClose}>
			<Field label={t('mine.note')} as="textarea" rows={3} required maxLength={1000} value={note} onInput={(e) => setNote(e.currentTarget.value)} />
		</DialogForm>
	);
}
