// A server, a sample's worker and its stand-in, by stage_process.py; each is ended when the stage is closed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('stage_process.py', import.meta.url));

export class Stage {
  open() {
    this.process = spawn(process.env.PYTHON ?? 'python3', [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.answers = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.last = Promise.resolve();
  }

  // One command after the other: answers come in the order of the questions.
  ask(name, ...given) {
    const answer = this.last.then(async () => {
      this.process.stdin.write(JSON.stringify({ do: name, with: given }) + '\n');
      const { value, done } = await this.answers.next();
      if (done) throw new Error('the stage has ended');
      const said = JSON.parse(value);
      if ('error' in said) throw new Error(said.error);
      return said.is;
    });
    this.last = answer.catch(() => {});
    return answer;
  }

  async close() {
    this.process.stdin.end();
    const [code] = this.process.exitCode === null ? await once(this.process, 'exit') : [this.process.exitCode];
    if (code !== 0) throw new Error(`the stage ended with ${code}`);
  }
}
