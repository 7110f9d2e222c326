/* global addEventListener, caches, clients, skipWaiting */
// Opens the form without signal, and sends what is kept when there is signal
// again. A new page comes with a new version, which the server writes where
// this says SHELL, and so with a new worker: the browser looks for one each
// time the page is opened.
import { flush } from './outbox.js'

const name = 'report-SHELL'
const on = (event, f) => addEventListener(event, e => e.waitUntil(f()))

// The page that was just loaded is the one to keep, if nobody is named in it;
// only the id that it has for browsers without script is taken out.
on('install', async () => {
  let page = await fetch('/report/', { cache: 'force-cache' })
  if (!page.headers.get('ETag')?.includes('SHELL')) page = await fetch('/report/shell')
  if (!page.ok) throw page.status
  const html = (await page.text()).replace(/(name="(id|receipt)" value=")[^"]+/g, '$1')
  const cache = await caches.open(name)
  await cache.addAll(new Set(html.match(/\/assets\/[^"]+(css|js|svg)/g)))
  await cache.put('/report/', new Response(html, page))
  await skipWaiting()
})

on('activate', async () => {
  for (const key of await caches.keys()) if (key !== name) await caches.delete(key)
  await clients.claim()
})

addEventListener('fetch', e => {
  const { pathname } = new URL(e.request.url)
  const kept = /^\/report\/(phone\/)?$/.test(pathname) ? '/report/' : /^\/assets\//.test(pathname) && pathname
  if (kept && e.request.method === 'GET') e.respondWith(caches.match(kept).then(page => page || fetch(e.request)))
})

// A browser tries again later when this fails.
on('sync', () => flush(true).then(left => { if (left) throw left }))
