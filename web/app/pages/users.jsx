/* Every account: search, change of role, switching off and on. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api, session } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Button, Chip, Confirm, DialogForm, Empty, Failure, Field, Listing, PageHead, Pager } from '../ui/parts.jsx';

const LIMIT = 20;
const roles = ['student', 'lecturer', 'reviewer', 'admin'];
const kinds = { active: 'good', disabled: 'bad', pending: 'warn', rejected: 'bad', timeout: 'warn' };

function RoleDialog({ user, onClose, onSaved }) {
	const [role, setRole] = useState(user.role);
	const save = useAction(async () => {
		await api(`/api/admin/users/${user.id}`, { method: 'PATCH', body: { role } });
		onSaved();
	});
	return (
		<DialogForm title={t('users.roleOf', { name: user.full_name })} action={save} act={t('save')} onClose={onClose}>
			<Field label={t('approvals.role')} as="select" value={role} onChange={(e) => setRole(e.currentTarget.value)} hint={t('users.roleHint')}>
				{roles.map((r) => <option key={r} value={r}>{t(`role.${r}`)}</option>)}
			</Field>
		</DialogForm>
	);
}

function User({ user, onChanged }) {
	const [dialog, setDialog] = useState(null);
	const own = user.id === session.value.user.id;
	const able = user.state === 'active' || user.state === 'disabled';
	const turn = useAction(async () => {
		await api(`/api/admin/users/${user.id}`, { method: 'PATCH', body: { is_active: user.state !== 'active' } });
		setDialog(null);
		onChanged();
	});
	return (
		<li class="request">
			<div class="row-main">
				<strong>{user.full_name}</strong>
				<span>{user.email}</span>
				<small>{t(`role.${user.role}`)} · {user.last_login_at ? t('users.seen', { time: moment(user.last_login_at) }) : t('users.never')}</small>
				<Failure error={dialog ? null : turn.error} />
			</div>
			<div class="decide">
				<Chip kind={kinds[user.state]}>{t(`users.${user.state}`)}</Chip>
				{!own && <Button onClick={() => setDialog('role')} aria-label={t('users.roleOf', { name: user.full_name })}>{t('approvals.role')}</Button>}
				{!own && able && (user.state === 'active'
					? <Button kind="danger-plain" onClick={() => setDialog('off')} aria-label={t('users.offName', { name: user.full_name })}>{t('users.off')}</Button>
					: <Button busy={turn.busy} onClick={turn.run} aria-label={t('users.onName', { name: user.full_name })}>{t('users.on')}</Button>)}
			</div>
			{dialog === 'role' && <RoleDialog user={user} onClose={() => setDialog(null)} onSaved={() => {
				setDialog(null);
				onChanged();
			}} />}
			{dialog === 'off' && <Confirm title={t('users.offTitle', { name: user.full_name })} text={t('users.offText')} act={t('users.off')} action={turn} onClose={() => setDialog(null)} />}
		</li>
	);
}

export default function Users() {
	const [search, setSearch] = useState('');
	const [role, setRole] = useState('');
	const [page, setPage] = useState(1);
	const query = new URLSearchParams({ page, limit: LIMIT, ...(search.trim() && { search: search.trim() }), ...(role && { role }) });
	const source = useData(`/api/admin/users?${query}`);
	const { users = [], total = 0 } = source.data ?? {};
	const first = (set) => (e) => {
		set(e.currentTarget.value);
		setPage(1);
	};
	return (
		<>
			<PageHead title={t('users.title')} lead={t('users.lead')} />
			<div class="filters">
				<Field label={t('users.search')} type="search" maxLength={100} value={search} onInput={first(setSearch)} />
				<Field label={t('approvals.role')} as="select" value={role} onChange={first(setRole)}>
					<option value="">{t('users.everyRole')}</option>
					{roles.map((r) => <option key={r} value={r}>{t(`role.${r}`)}</option>)}
				</Field>
			</div>
			<Listing source={source} count={users.length} empty={<Empty icon="people" title={t('users.none')}>{t('users.noneText')}</Empty>}>
				<ul class="rows">{users.map((u) => <User key={u.id} user={u} onChanged={source.reload} />)}</ul>
				<Pager page={page} limit={LIMIT} total={total} onPage={setPage} />
			</Listing>
		</>
	);
}
