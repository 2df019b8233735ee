import MachineFormat
import SoftwareHost
import Testing
import VFIOConformance
import VFIOHost

@testable import VFIOCommand

@Suite("vfio conform")
struct ConformTests {
    @Test(
        "The software kernel answers every case as Linux 7.2 does, or says why not", arguments: Route.allCases
    )
    func softwareKernel(route: Route) throws {
        let host = try SoftwareHost(try ConformMachine.make(for: route))
        var run = Run(on: host, by: route)
        run.machine = SoftwareMachineControl(host, isAlone: false)
        let report = run.run { result in
            guard result.status == .different else { return }
            let wrong = result.observations.filter { !$0.isAsWanted }
            Issue.record(
                "\(result.id): \(result.note ?? "") \(wrong.map { "\($0.label): \($0.got), not \($0.wanted ?? "")" })"
            )
        }
        #expect(host.lockedByteCount == 0)
        print("by \(route.rawValue): \(report.results.count) cases, \(report.count(.skipped)) skipped")
    }

    @Test(
        "A serial card is moved to another host as Linux's sample is, on a machine that has nothing else to move",
        arguments: [Route.group, .compat, .cdev])
    func serialCard(route: Route) throws {
        var machine = MachineDescription()
        machine.mediatedParents = MediatedParents.make()
        let host = try SoftwareHost(machine)
        var run = Run(on: host, by: route)
        run.machine = SoftwareMachineControl(host, isAlone: false)
        run.filter = "E."
        let report = run.run { result in
            guard result.status == .different else { return }
            let wrong = result.observations.filter { !$0.isAsWanted }
            Issue.record(
                "\(result.id): \(result.note ?? "") \(wrong.map { "\($0.label): \($0.got), not \($0.wanted ?? "")" })"
            )
        }
        #expect(report.results.count > report.count(.skipped))
    }

    @Test("Every case has a name of its own")
    func names() {
        var seen: Set<String> = []
        for one in Catalogue.cases {
            #expect(seen.insert("\(one.section) \(one.name)").inserted, "\(one.name)")
        }
    }

    @Test("A run compared with itself differs in nothing")
    func comparison() throws {
        let host = try SoftwareHost(try ConformMachine.make(for: .group))
        let report = Run(on: host, by: .group).run()
        let comparison = Comparison(report, report)
        #expect(comparison.differences.isEmpty && comparison.sharedCount > 0)
        var changed = report
        let index = try #require(report.results.firstIndex { $0.status == .equal })
        changed.results[index].observations[0].got = "something else"
        let found = Comparison(report, changed)
        #expect(found.differences.count == 1 && !found.isExplained)
    }
}
