// SPDX-License-Identifier: Apache-2.0
// The help page and the version line. Pure text on stdout; whatever changes in Command or Options is said
// here too, and a test holds the two together.

import UffdReport

enum Usage {
  static let program = """
    uffdhost serves page faults: a userfaultfd server whose memory comes from providers.

    Usage:
      uffdhost --provider LIB [key=value ...] [options]
                               map a region, serve it, touch and verify every page,
                               print a report
      uffdhost serve --provider LIB [key=value ...] --listen SOCKET [options]
                               serve the memory of other processes, which hand it over
      uffdhost status --socket SOCKET
                               what a server does: clients, regions, faults, errors
      uffdhost inspect LIB     what a provider says it is and can do
      uffdhost check LIB [key=value ...] [options]
                               does a provider keep the contract? The conformance suite,
                               for authors of providers
      uffdhost bench [LIB] [key=value ...] [options]
                               latency and throughput beside a handler in C and the
                               kernel; without LIB of the providers that come along
      uffdhost workingset show FILE
                               what a recorded working set holds; recording and
                               replaying are options of a run and of 'serve'
      uffdhost doctor          what works on this system, what does not, how to mend it
      uffdhost help [LIB]      this page, or a provider's summary and parameters

    LIB is a path with a '/', or a short name such as 'shmem'. key=value pairs configure
    the provider; 'uffdhost help LIB' lists them.

    What is touched:
      --size BYTES             bytes of the object to map and touch (default: all of it)
      --threads N              threads that touch (default: 1)
      --access ORDER           sequential, random or zipf (default: sequential)
      --passes N               how often everything is touched (default: 1)
      --seed N                 of the random and zipf orders (default: 1)
      --mode MODE              what a touch meets (default: missing)
                                 missing  no page at all
                                 minor    pages that the backing already holds
                                 both     every second page is in the backing

    How it is mapped and served:
      --regions N              regions that map the same object (default: 1)
      --private                map the backing copy on write, not shared
      --fill TARGET            fill pages into the backing, for all regions, or into the
                               mapping of one (backing or mapping; default: backing)
      --readers N              threads that serve faults (default: 1)
      --fault-around N         granules beside a fault that are filled with it: auto, off or
                               at most N (default: auto, what each region's accesses say)
      --on-error POLICY        poison, kill or hold: what happens to a page that cannot be
                               had (default: poison)
      --deadline SECONDS       how long one fault may take before that (default: 10)
      --record FILE            write down which granules were touched first, and when:
                               the working set
      --replay FILE            fill a recorded working set in the background, beside the
                               faults; content that has changed since is refused
      --background-fill        fill everything in the background, beside the faults and
                               behind a working set; pages come before they are touched
      --fill-rate BYTES        bytes a second that the two fill at most, all regions or
                               clients together (default: no limit)

    What comes out:
      --verify ORACLE          what the bytes are compared with (default: whatever the
                               provider's image= or pattern= implies)
                                 FILE          this file, zeroes beyond its end
                                 pattern:SEED  the pattern of that seed
                                 provider      a second instance, asked directly
                                 none          nothing
      --json                   the report as JSON; also for status, inspect, check, bench
                               and doctor
      --tap                    for check: the results in the Test Anything Protocol
      --only ID                for check: this check or family alone; may be repeated
      --seconds N              for check: length of the random run (default: 5); --seed
                               repeats one, else it is another each time
      --deep                   for doctor: try each kernel behaviour that is relied on
      --quick                  for bench: small and short, to see that it works
      --case NAME              for bench: this case alone; may be repeated
      --rounds N               for bench: repetitions that count (default: 7)
      --placement PLACE        for bench: pinned (all on one CPU) or unpinned (default:
                               both)
      --wait HOW               for bench: how the handler in C waits, epoll, poll or read
                               (default: epoll)
      --save FILE              for bench: the report as JSON into this file, too
      --compare FILE           for bench: compare with a saved run; exit code 1 if
                               something is slower
      --threshold PERCENT      for bench: by how much a ratio may grow (default: 5)
      --recorded FILE          for bench: the case anon-recorded touches pages in the order of
                               this working set, not of a program of its own
      -h, --help               this page; with --provider LIB the help of the provider
      -V, --version            the version

    Serving other processes ('serve', which also takes what says how faults are served):
      --listen SOCKET          where clients connect; not needed where a service manager
                               passes the socket
      --socket-mode MODE       permissions of the socket's file (default: 0600)
      --socket-owner OWNER     USER, USER:GROUP or :GROUP; that user may connect
      --allow-uid USER         who may connect beside root and the user who serves: a
                               name, a number or FIRST-LAST; may be repeated
      --dialect NAME           auto, native or firecracker (default: auto)
      --max-clients N          clients at once (default: 1024)
      --max-regions N          regions of one client (default: 512)
      --max-handshakes N       connections that have handed nothing over yet (default: 64)
      --handshake-timeout SECONDS
                               how long they may take for it (default: 10)
      --max-memory BYTES       content on its way that providers may hold (default: 4G)
      --drain-timeout SECONDS  how long the end may take, in which every page is filled,
                               before what is missing is poisoned (default: 60)
      --run COMMAND            run it once clients can connect, with UFFDHOST_SOCKET set,
                               end with it and return its exit code
      --exit-with-parent       end when the process ends that started this one
      --log FORM               lines on standard error as text or json (default: text)
      --log-level LEVEL        error, warning, info or debug (default: info)
      --socket SOCKET          for status: the server's

    Options are written '--name VALUE' or '--name=VALUE'; of several the last one counts.
    '--' ends them. BYTES may end in K, M, G or T.

    Examples:
      uffdhost --provider shmem image=/boot/vmlinuz
      uffdhost --provider ./libAnonProvider.so pattern=7 size=1G --threads 8 --access random
      uffdhost --provider hugetlb pattern=1 size=64M --mode both --regions 4 --json
      uffdhost bench anon --case anon-copy --rounds 9
      uffdhost serve --provider anon image=memory.snap --listen /run/uffd.sock
      uffdhost status --socket /run/uffd.sock
      uffdhost inspect ./my-provider.so
      uffdhost check ./my-provider.so size=1M

    Exit codes:
      0    done, and what was to be verified is right; a server has let all clients go
      1    a byte was wrong, serving failed, a server has poisoned pages, or a comparison
           found something slower
      2    usage or configuration is wrong
      3    the provider was refused
      4    the system lacks something; 'uffdhost doctor' says what
      77   a check does not apply here, or nothing of 'check' does
      130  interrupted, after a report
    With '--run' it is the exit code of the command.

    Environment:
      UFFDHOST_PLUGIN_PATH     folders, with ':' between them, where short names are
                               looked up too, not only beside the executable and where
                               uffdhost is installed
      NO_COLOR                 when set, the report has no colours

    """

  /// One parameter of a provider, as the help page shows it.
  struct ParameterHelp {
    var key: String
    /// What its value is: `FILE`, `SIZE`, `N`, `TEXT`.
    var form: String
    var help: String
    var defaultValue: String?
    var isRequired = false
    var isRepeatable = false
  }

  /// Summary and parameters of a provider: `uffdhost help LIB`.
  static func provider(
    name: String, version: String, summary: String, parameters: [ParameterHelp]
  ) -> String {
    var text = "\(name) \(version): \(summary)".printable + "\n\n"
    guard !parameters.isEmpty else { return text + "It has no parameters.\n" }
    text += "Parameters:\n"
    let forms = parameters.map { "\($0.key)=\($0.form)".printable }
    let column = min(24, forms.reduce(0) { max($0, $1.count) }) + 2
    for (parameter, form) in zip(parameters, forms) {
      text += "  " + Units.padRight(form, column)
      if form.count >= column { text += "\n  " + Units.padRight("", column) }
      text += ([parameter.help.printable] + remarks(parameter)).joined(separator: "; ") + "\n"
    }
    return text
  }

  private static func remarks(_ parameter: ParameterHelp) -> [String] {
    var remarks: [String] = []
    if parameter.isRequired { remarks.append("required") }
    if parameter.isRepeatable { remarks.append("may be repeated") }
    if let value = parameter.defaultValue { remarks.append("default \(value)".printable) }
    return remarks
  }
}
