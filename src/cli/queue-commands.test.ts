// The commands on one queue, as processes on a folder and on a served broker: what they print, and what they leave.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeveretProcess } from '../../test/support/leveret-process.ts'
import { runLeveret } from '../../test/support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import { connect } from '../index.ts'

let folder: string

beforeAll(() => {
  folder = temporaryFolder('queue-commands')
})

afterAll(() => removeFolder(folder))

async function lines(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await runLeveret(args)
  expect({ code, stderr }, args.join(' ')).toEqual({ code: 0, stderr: '' })
  return stdout.trimEnd().split('\n')
}

describe('the commands on one queue', () => {
  it('show what waits, remove some of it, and then all of it', async () => {
    const at = join(folder, 'work')
    const bus = await connect(`file:${at}`)
    const work = await bus.createQueue('work')
    const { id } = await work.send({ file: 'a.png', big: 'x'.repeat(100) })
    await work.send(Buffer.from([0, 255]))
    const later = await work.send('later', { delay: '1h' })
    await bus.close()

    const [heads, first, second] = await lines('peek', 'work', '--at', at)
    expect(heads).toMatch(/^id +bytes +attempt +deliveries +body$/)
    expect(first).toMatch(new RegExp(`^${id} +\\d+ +1 +0 +\\{"file":"a.png","big":"x+…$`))
    expect(second).toMatch(/ 2 bytes$/)
    const [only] = await lines('peek', 'work', '--at', at, '--skip', '1', '--limit', '1', '--json')
    expect(JSON.parse(only ?? '')).toMatchObject({ state: 'ready', bytes: 2, attempt: 1, base64: 'AP8=' })
    const [, delayed] = await lines('peek', 'work', '--at', at, '--delayed')
    expect(delayed).toMatch(new RegExp(`^${later.id} +\\d{4}-\\d\\d-\\d\\dT\\S+Z +7 +1 +0 +later$`))

    expect(await lines('cancel', 'work', id, later.id, '--at', at)).toEqual(['2 messages removed from work'])
    const again = await runLeveret(['cancel', 'work', id, '--at', at])
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain(`E_REFUSED: 1 message did not wait in work`)
    expect(again.stderr).toContain(id)

    expect(await lines('purge', 'work', '--at', at)).toEqual(['1 message removed from work'])
    expect(await lines('purge', 'work', '--at', at, '--json')).toEqual(['{"queue":"work","removed":0}'])
    expect(await lines('peek', 'work', '--at', at)).toEqual(['nothing is ready in work'])
  })

  it('take dead letters back, so many as they are told', async () => {
    const at = join(folder, 'dead')
    const bus = await connect(`file:${at}`)
    const work = await bus.createQueue<number>('work', { retry: { attempts: 1 } })
    const worker = work.process(
      () => {
        throw new Error('no luck')
      },
      { onError: () => {} },
    )
    const receipts = await Promise.all([1, 2, 3].map((number) => work.send(number, { receipt: true })))
    for (const receipt of receipts) await expect(receipt.processed()).rejects.toThrow('no luck')
    await worker.close()
    await bus.close()

    const [letter] = await lines('peek', 'work.dead', '--at', at, '--limit', '1', '--json')
    expect(JSON.parse(letter ?? '')).toMatchObject({ error: 'Error: no luck' })
    expect(await lines('redrive', 'work', '--at', at, '--limit', '1')).toEqual(['1 dead letter moved back into work'])
    const others = await lines('redrive', 'work', '--at', at, '--from', 'work.dead', '--rate', '1000/s', '--json')
    expect(others).toEqual(['{"queue":"work","moved":2}'])
    expect(await lines('purge', 'work', '--at', at)).toEqual(['3 messages removed from work'])
  })

  it('hold a queue of a served broker, and let it go on', async () => {
    await using leveret = await LeveretProcess.start()
    const bus = await connect(leveret.url)
    const work = await bus.createQueue<number>('work')
    expect(await lines('pause', 'work', '--at', leveret.url)).toEqual(['work hands out nothing'])
    expect((await work.stats()).paused).toBe(true)
    expect(await lines('resume', 'work', '--at', leveret.url, '--json')).toEqual(['{"queue":"work","paused":false}'])
    expect((await work.stats()).paused).toBe(false)
    await bus.close()
  })

  it('name the queue that is not there, and the option that is wrong', async () => {
    const at = join(folder, 'none')
    for (const args of [['peek'], ['purge'], ['pause'], ['resume'], ['redrive'], ['cancel', 'id']]) {
      const [command = '', ...rest] = args
      const { code, stderr } = await runLeveret([command, 'nope', ...rest, '--at', at])
      expect(code, command).toBe(1)
      expect(stderr, command).toBe("leveret: NOT_FOUND: no queue 'nope' in vhost '/'\n")
    }
    const bad = await runLeveret(['peek', 'nope', '--limit', '0', '--at', at])
    expect(bad).toMatchObject({ code: 2 })
    const rate = await runLeveret(['redrive', 'nope', '--rate', 'fast', '--at', at])
    expect(rate.code).toBe(1)
  })
})
