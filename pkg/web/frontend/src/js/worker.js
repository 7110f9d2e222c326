/* global SHELL, caches, self, skipWaiting, clients -- SHELL is put before this by the server */
// Opens the form without signal, and sends what is kept when there is signal
// again. A new page comes with a new SHELL.version and so with a new worker:
// the browser looks for one each time the page is opened.
import { flush } from './outbox.js'

const name = 'report-' + SHELL.version

self.addEventListener('install', e => e.waitUntil((async () => {
  const cache = await caches.open(name)
  await cache.addAll(SHELL.files)
  const page = await fetch('/report/shell', { cache: 'no-cache' })
  if (!page.ok) throw page.status
  await cache.put('/report/', page)
  await skipWaiting()
})()))

self.addEventListener('activate', e => e.waitUntil((async () => {
  for (const key of await caches.keys()) if (key !== name) await caches.delete(key)
  await clients.claim()
})()))

self.addEventListener('fetch', e => {
  const { pathname } = new URL(e.request.url)
  const kept = e.request.method === 'GET' && (/^\/report\/(phone\/)?$/.test(pathname) ? '/report/' : SHELL.files.includes(pathname) && pathname)
  if (kept) e.respondWith(caches.match(kept).then(page => page || fetch(e.request)))
})

// A browser tries again later when this fails.
self.addEventListener('sync', e => e.waitUntil(flush(true).then(left => { if (left) throw left })))
