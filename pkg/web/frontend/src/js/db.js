// The phone's own store: every report that was begun here, as one row each,
// until nothing of it needs to be kept. Page and worker share it.

let opening
const open = () => (opening ??= new Promise((resolve, reject) => {
  const request = indexedDB.open('onrecord', 1)
  request.onupgradeneeded = () => request.result.createObjectStore('reports', { keyPath: 'id' })
  request.onerror = () => reject(request.error)
  request.onsuccess = () => {
    const db = request.result
    db.onclose = db.onversionchange = () => { db.close(); opening = null }
    resolve(db)
  }
}).catch(e => { opening = null; throw e }))

const channel = globalThis.BroadcastChannel && new BroadcastChannel('reports')

// onChange calls f when another tab or the worker changed something.
export const onChange = f => { if (channel) channel.onmessage = f }

// run gives what f, called with the store, asked for. What was written is on
// disk by then.
async function run (mode, f) {
  const db = await open()
  const result = await new Promise((resolve, reject) => {
    const t = db.transaction('reports', mode, { durability: 'strict' })
    const request = f(t.objectStore('reports'))
    t.oncomplete = () => resolve(request.result)
    t.onerror = t.onabort = () => reject(t.error)
  })
  if (mode !== 'readonly') channel?.postMessage(0)
  return result
}

export const all = () => run('readonly', s => s.getAll())
export const get = id => run('readonly', s => s.get(id))
export const put = row => run('readwrite', s => s.put(row))
export const remove = id => run('readwrite', s => s.delete(id))

// change sets some fields of a row as it stands now; of one that has gone,
// nothing. More may be a function of the row.
export const change = (id, more) => run('readwrite', s => {
  const request = s.get(id)
  request.onsuccess = () => {
    const row = request.result
    if (row) s.put(Object.assign(row, typeof more === 'function' ? more(row) : more))
  }
  return request
})
