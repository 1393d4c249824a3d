/* A student disagrees with a record, once. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { Button, Dialog, Failure, Field } from './parts.jsx';

export function Dispute({ id, onClose, onSent }) {
	const [note, setNote] = useState('');
	const send = useAction(async () => {
		await api(`/api/v1/student/attendance/${id}/dispute`, { method: 'POST', body: { note: note.trim() } });
		onSent();
	});
	return (
		<Dialog title={t('mine.dispute')} onClose={onClose}>
			<form class="form" onSubmit={(e) => {
				e.preventDefault();
				send.run();
			}}>
				<p class="text">{t('mine.disputeText')}</p>
				<Failure error={send.error} />
				<Field label={t('mine.note')} as="textarea" rows={3} required maxLength={1000} value={note} onInput={(e) => setNote(e.currentTarget.value)} />
				<footer>
					<Button onClick={onClose}>{t('cancel')}</Button>
					<Button kind="primary" type="submit" busy={send.busy}>{t('mine.send')}</Button>
				</footer>
			</form>
		</Dialog>
	);
}
