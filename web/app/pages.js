/*
 * The page table: path, who sees it, its title, where its code is.  web/build.mjs reads it too and tells the server which paths
 * answer with the app.  A new page is a file in pages/ and a row here.
 *
 * who: anyone, user (any signed-in account), or a role, which admits administrators too.  bare: without header and menu.  screen: a screen of the room, seen also by
 * whoever brings a display token in the fragment.  nav: place in the menu of each role that has the page there; the first four are in
 * the bar at the bottom of a phone, the others under "More".  light: the words of the first load are enough.
 */
export const pages = [
	{ path: '/c', who: 'anyone', title: 'checkin.title', bare: true, light: true, load: () => import('./pages/checkin.jsx') },
	{ path: '/app/', who: 'anyone', title: 'signin.title', bare: true, load: () => import('./pages/home.jsx') },
	{ path: '/app/signup', who: 'anyone', title: 'signup.title', bare: true, load: () => import('./pages/signup.jsx') },
	{ path: '/app/forgot', who: 'anyone', title: 'forgot.title', bare: true, load: () => import('./pages/forgot.jsx') },
	{ path: '/app/reset', who: 'anyone', title: 'reset.title', bare: true, load: () => import('./pages/reset.jsx') },
	{ path: '/app/verify', who: 'anyone', title: 'verify.title', bare: true, load: () => import('./pages/verify.jsx') },
	{ path: '/app/oauth', who: 'anyone', title: 'signin.title', bare: true, load: () => import('./pages/oauth.jsx') },
	{ path: '/app/scan', who: 'anyone', title: 'scan.title', icon: 'scan', nav: { student: 1, lecturer: 6, admin: 8 }, load: () => import('./pages/scan.jsx') },
	{ path: '/app/attendance', who: 'user', title: 'mine.title', icon: 'check', nav: { student: 2, lecturer: 7, admin: 7 }, load: () => import('./pages/attendance.jsx') },
	{ path: '/app/records/:id', who: 'user', title: 'record.title', load: () => import('./pages/record.jsx') },
	{ path: '/app/events', who: 'user', title: 'events.title', icon: 'calendar', nav: { student: 3, admin: 1 }, load: () => import('./pages/events.jsx') },
	{ path: '/app/events/:id', who: 'admin', title: 'event.title', load: () => import('./pages/event.jsx') },
	{ path: '/app/project/:id', who: 'admin', title: 'project.title', bare: true, screen: true, load: () => import('./pages/project.jsx') },
	{ path: '/app/sessions', who: 'lecturer', title: 'sessions.title', icon: 'calendar', nav: { lecturer: 1, admin: 10 }, load: () => import('./pages/sessions.jsx') },
	{ path: '/app/sessions/:id', who: 'lecturer', title: 'session.title', load: () => import('./pages/session.jsx') },
	{ path: '/app/screen/:id', who: 'lecturer', title: 'project.title', bare: true, screen: true, load: () => import('./pages/screen.jsx') },
	{ path: '/app/courses', who: 'lecturer', title: 'courses.title', icon: 'people', nav: { lecturer: 2, admin: 11 }, load: () => import('./pages/courses.jsx') },
	{ path: '/app/courses/:id', who: 'lecturer', title: 'course.title', load: () => import('./pages/course.jsx') },
	{ path: '/app/flagged', who: 'reviewer', title: 'flagged.title', icon: 'warn', nav: { reviewer: 1, admin: 12 }, load: () => import('./pages/flagged.jsx') },
	{ path: '/app/reports', who: 'lecturer', title: 'reports.title', icon: 'chart', nav: { lecturer: 3, admin: 13 }, load: () => import('./pages/reports.jsx') },
	{ path: '/app/approvals', who: 'admin', title: 'approvals.title', icon: 'people', nav: { admin: 2 }, load: () => import('./pages/approvals.jsx') },
	{ path: '/app/users', who: 'admin', title: 'users.title', icon: 'person', nav: { admin: 9 }, load: () => import('./pages/users.jsx') },
	{ path: '/app/codes', who: 'admin', title: 'codes.title', icon: 'qr', nav: { admin: 3 }, load: () => import('./pages/codes.jsx') },
	{ path: '/app/statistics', who: 'admin', title: 'stats.title', icon: 'chart', nav: { admin: 5 }, load: () => import('./pages/statistics.jsx') },
	{ path: '/app/audit', who: 'admin', title: 'audit.title', icon: 'list', nav: { admin: 6 }, load: () => import('./pages/audit.jsx') },
	{ path: '/app/notifications', who: 'user', title: 'notes.title', icon: 'bell', nav: { student: 4, lecturer: 4, reviewer: 2, admin: 4 }, load: () => import('./pages/notifications.jsx') },
	{ path: '/app/account', who: 'user', title: 'account.title', load: () => import('./pages/account.jsx') },
	{ path: '/app/device', who: 'student', title: 'device.title', load: () => import('./pages/device.jsx') },
	{ path: '/app/face', who: 'student', title: 'face.title', load: () => import('./pages/face.jsx') },
	{ path: '/app/devices', who: 'admin', title: 'devices.title', icon: 'phone', nav: { admin: 14 }, load: () => import('./pages/devices.jsx') },
	{ path: '/app/more', who: 'user', title: 'more.title', load: () => import('./pages/more.jsx') },
];

/** May this role see that page? */
export const admits = (page, role) => ['anyone', 'user', role].includes(page.who) || role === 'admin';

export const menuOf = (role) => pages.filter((p) => p.nav?.[role]).sort((a, b) => a.nav[role] - b.nav[role]);
