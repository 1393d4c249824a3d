import { has, t } from '../lib/i18n.js';
import { Chip } from './parts.jsx';

const kinds = {
	present: 'good', late: 'warn', excused: 'info', absent: 'bad', flagged: 'warn', rejected: 'bad',
	pending: 'info', approved: 'good', timeout: 'warn', success: 'good', failure: 'bad', failed: 'bad', denied: 'bad', refused: 'bad',
};

export function StatusChip({ status }) {
	const key = `status.${status}`;
	return <Chip kind={kinds[status] ?? 'plain'}>{has(key) ? t(key) : status}</Chip>;
}
