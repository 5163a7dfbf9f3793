/** Whether the bodies that messages refer to are there, whole and unchanged. */
import { bodyName, partsOf } from './body-file.ts'
import type { Findings } from './folder-findings.ts'
import type { FolderState } from './folder-state.ts'

export async function checkBodies(state: FolderState, findings: Findings): Promise<void> {
  const { view } = state
  const checked = new Set<number>()
  const faults = new Map<number, { readonly offset: number; readonly detail: string }>()
  for (const { queueId, sequence, bodyId } of state.bodies.logged()) {
    const name = `body/${bodyName(bodyId)}`
    if (!checked.has(bodyId)) {
      checked.add(bodyId)
      if (!view.has(name)) faults.set(bodyId, { offset: 0, detail: 'the file is missing' })
      else {
        for await (const { offset, bytes, fault } of partsOf(await view.open(`${view.directory}/${name}`, 'read'))) {
          if (fault === null) continue
          findings.add('damage', name, offset, bytes, fault)
          if (!faults.has(bodyId)) faults.set(bodyId, { offset, detail: fault })
        }
      }
    }
    const fault = faults.get(bodyId)
    if (fault === undefined) continue
    const message = { queue: state.nameOf(queueId), sequence, offset: fault.offset, waits: true }
    findings.addMessage(name, fault.offset, fault.detail, message)
  }
}
