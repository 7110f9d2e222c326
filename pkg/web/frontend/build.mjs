// Builds src/ into dist/assets with a hash of the content in every name, and
// dist/manifest.json from the logical names to the hashed ones. What is not a
// picture in a packed format of its own lies there packed too, as .gz and .br,
// so that no visitor waits for it. The Go package above embeds dist.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { Resvg, initWasm } from '@resvg/resvg-wasm'
import { build, transform } from 'esbuild'
import * as sass from 'sass'

const out = 'dist/assets'
const target = ['chrome109', 'safari15', 'firefox115']
const manifest = {}

mkdirSync(out, { recursive: true })

function emit (name, content) {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 10)
  const dot = name.lastIndexOf('.')
  manifest[name] = `${name.slice(0, dot)}-${hash}${name.slice(dot)}`
  const file = `${out}/${manifest[name]}`
  writeFileSync(file, content)
  if (name.endsWith('.png')) return
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }))
  writeFileSync(`${file}.br`, brotliCompressSync(content))
}

async function script (name, format) {
  const { outputFiles } = await build({
    entryPoints: [`src/js/${name}`], bundle: true, minify: true, write: false, format, target, legalComments: 'none'
  })
  emit(name, outputFiles[0].contents)
}

// png draws the icon in a size. One that phones cut into a shape of their own
// has no round corners, and everything well inside.
function png (name, size, svg) {
  emit(name, new Resvg(svg, { fitTo: { mode: 'width', value: size } }).render().asPng())
}

for (const name of ['app', 'report']) {
  const { css } = sass.compile(`src/scss/${name}.scss`, { loadPaths: ['node_modules'], style: 'compressed', quietDeps: true })
  emit(`${name}.css`, (await transform(css, { loader: 'css', minify: true, target })).code)
}
await script('boot.js', 'iife')
await script('app.js', 'esm')
await script('worker.js', 'esm')

await initWasm(readFileSync('node_modules/@resvg/resvg-wasm/index_bg.wasm'))
const icon = readFileSync('static/icon.svg', 'utf8')
const whole = icon.replace(' rx="14"', '')
emit('icon.svg', icon)
png('icon-180.png', 180, whole)
png('icon-192.png', 192, icon)
png('icon-512.png', 512, whole)
const kept = name => `/assets/${manifest[name]}`
emit('app.webmanifest', JSON.stringify({
  name: 'On Record',
  short_name: 'On Record',
  id: '/report/',
  start_url: '/report/',
  scope: '/',
  display: 'standalone',
  background_color: '#ffffff',
  theme_color: '#0b4f57',
  icons: [
    { src: kept('icon.svg'), sizes: 'any', type: 'image/svg+xml' },
    { src: kept('icon-192.png'), sizes: '192x192', type: 'image/png' },
    { src: kept('icon-512.png'), sizes: '512x512', type: 'image/png', purpose: 'any maskable' }
  ]
}))
writeFileSync('dist/manifest.json', JSON.stringify(manifest, null, 1) + '\n')

// What an earlier build left is removed last, so that a Go build beside this
// one finds every file that the manifest names.
const current = Object.values(manifest)
for (const name of readdirSync(out)) if (!current.includes(name.replace(/\.(gz|br)$/, ''))) rmSync(`${out}/${name}`)
