/* global SHELL, addEventListener, caches, clients, skipWaiting -- SHELL is put before this by the server */
// Opens the form without signal, and sends what is kept when there is signal
// again. A new page comes with a new SHELL, its version, and so with a new
// worker: the browser looks for one each time the page is opened.
import { flush } from './outbox.js'

const name = 'report-' + SHELL

// The page that was just loaded is the one to keep, if nobody is named in it;
// only the id that it has for browsers without script is taken out.
addEventListener('install', e => e.waitUntil((async () => {
  let page = await fetch('/report/', { cache: 'force-cache' })
  if (!page.headers.get('ETag')?.includes(SHELL)) page = await fetch('/report/shell')
  if (!page.ok) throw page.status
  const html = (await page.text()).replace(/(name="(id|receipt)" value=")[^"]+/g, '$1')
  const cache = await caches.open(name)
  await cache.addAll(new Set(html.match(/\/assets\/[^"]+(css|js|svg)(?=")/g)))
  await cache.put('/report/', new Response(html, page))
  await skipWaiting()
})()))

addEventListener('activate', e => e.waitUntil((async () => {
  for (const key of await caches.keys()) if (key !== name) await caches.delete(key)
  await clients.claim()
})()))

addEventListener('fetch', e => {
  const { pathname } = new URL(e.request.url)
  const kept = /^\/report\/(phone\/)?$/.test(pathname) ? '/report/' : /^\/assets\//.test(pathname) && pathname
  if (kept && e.request.method === 'GET') e.respondWith(caches.match(kept).then(page => page || fetch(e.request)))
})

// A browser tries again later when this fails.
addEventListener('sync', e => e.waitUntil(flush(true).then(left => { if (left) throw left })))
