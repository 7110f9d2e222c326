import { element } from './dom.js'

const most = 5
const side = 1600 // pixels, the longer one
const enough = 4e5 // bytes of one photo
const mostPixels = 2.1e8 // of a picture to be opened here: what the largest cameras of phones take
const mostWhole = 1e7 // bytes of an original
const mostWholes = 3e7 // of all of them: they go in one report
const qualities = [0.8, 0.65, 0.5, 0.35]

// photos lets somebody take or choose photos, shows them, and keeps them in
// list, each made small and without where and with what it was taken, and whole
// as it came. changed is called when list did.
export default function photos (group, list, changed) {
  const input = group.querySelector('input[type=file]')
  const shown = group.querySelector('ul')
  const alone = group.querySelector('[data-alone]')
  const problem = group.querySelector('[data-unread]')
  const evidence = group.querySelector('.app-tile')
  const keep = evidence.querySelector('input')
  keep.addEventListener('change', draw)
  // A second input, because Chrome on Android offers no camera for photos alone.
  const camera = element('input', { type: 'file', accept: 'image/*', capture: 'environment', hidden: true })
  input.after(camera)
  input.hidden = true
  input.disabled = camera.disabled = true // nothing of them goes with the form
  const buttons = group.querySelectorAll('button')
  buttons[0].id = input.id // what is wrong with photos leads there now
  input.removeAttribute('id')
  buttons.forEach((button, n) => {
    const from = n ? input : camera
    button.onclick = () => { from.disabled = false; from.click(); from.disabled = true }
    from.onchange = () => add([...from.files]).finally(() => { from.value = '' })
  })

  async function add (files) {
    problem.textContent = ''
    for (const file of files) {
      if (list.length === most) {
        problem.textContent = problem.dataset.most
        break
      }
      try {
        const small = await shrink(file)
        const rest = list.reduce((left, { small, whole }) => left - (whole || small).byteLength, mostWholes)
        list.push({ small, whole: file.size > Math.min(mostWhole, rest) ? undefined : await file.arrayBuffer() })
      } catch {
        problem.textContent = problem.dataset.unread.replace('%s', () => file.name) // which may hold a dollar sign
      }
      draw()
    }
    changed()
  }

  function draw () {
    evidence.hidden = !list.length
    shown.replaceChildren(...list.map(({ small }, n) => {
      const image = element('img', { alt: shown.dataset.alt.replace('%d', n + 1), src: URL.createObjectURL(new Blob([small], { type: 'image/jpeg' })) })
      image.onload = () => URL.revokeObjectURL(image.src)
      const button = element('button', { type: 'button', className: 'app-link-button' }, shown.dataset.remove.replace('%d', n + 1))
      button.onclick = () => { list.splice(n, 1); draw(); changed(); buttons[0].focus() }
      return element('li', {}, image, button)
    }))
    const without = keep.checked ? list.flatMap(({ whole }, n) => whole ? [] : n + 1) : []
    alone.hidden = !without.length
    alone.textContent = alone.dataset.alone.replace('%s', without.join(', '))
  }
  draw()
}

// shrink draws a photo anew, smaller and the right way up, until it is small
// enough. Of what a camera wrote beside the picture nothing is left. A picture
// that would take all of a phone's memory is not opened.
export async function shrink (file) {
  if (await pixels(file) > mostPixels) throw file.name
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' })
  const canvas = element('canvas')
  for (let longer = side; ; longer *= 0.7) {
    const scale = Math.min(1, longer / Math.max(bitmap.width, bitmap.height))
    canvas.width = Math.max(1, Math.round(bitmap.width * scale))
    canvas.height = Math.max(1, Math.round(bitmap.height * scale))
    canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height)
    for (const quality of qualities) {
      const blob = await new Promise(resolve => canvas.toBlob(resolve, 'image/jpeg', quality))
      if (blob.size > enough) continue
      bitmap.close()
      return blob.arrayBuffer()
    }
  }
}

// pixels resolves to how many a picture has, without opening it.
async function pixels (file) {
  const image = element('img', { src: URL.createObjectURL(file) })
  try {
    await new Promise((resolve, reject) => { image.onload = resolve; image.onerror = reject })
    return image.naturalWidth * image.naturalHeight
  } finally {
    URL.revokeObjectURL(image.src)
  }
}
