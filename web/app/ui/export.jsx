/* A button that saves a roll as a file, named by what it is of and when that was. */
import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { Button, Failure } from './parts.jsx';

const KEPT_MS = 10_000; /* for the browser to read it */

export function Export({ path, title, at, format }) {
	const action = useAction(async () => {
		const blob = await api(path, { as: 'blob' });
		const a = document.createElement('a');
		a.href = URL.createObjectURL(blob);
		a.download = `${title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'roll'}-${at.slice(0, 10)}.${format}`;
		a.click();
		setTimeout(() => URL.revokeObjectURL(a.href), KEPT_MS);
	});
	return (
		<>
			<Button icon="download" busy={action.busy} onClick={action.run}>{t(`event.${format}`)}</Button>
			{action.error && <Failure error={action.error} />}
		</>
	);
}
