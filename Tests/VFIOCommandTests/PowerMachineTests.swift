import MachineFormat
import SoftwareHost
import Testing

@testable import VFIOCommand

@Suite("Machine files of POWER machines")
struct PowerMachineTests {
    private func parse(_ iommu: String) throws(StrictObject.Problem) -> IOMMU {
        try MachineFile.parse(Array("{ \"iommu\": \(iommu) }".utf8), folder: "").iommu
    }

    private func problem(_ iommu: String) -> String? {
        do throws(StrictObject.Problem) {
            _ = try parse(iommu)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("say what the IOMMU can do")
    func reading() throws {
        #expect(try parse("{ \"type\": \"spapr\" }").spapr == SPAPRIOMMU())
        let all = """
            { "type": "spapr", "platform": "pseries", "pageSizes": ["4K", "64K"], "defaultWindow": "1G",
              "dynamicWindows": 1, "levels": 1, "errorHandling": false }
            """
        #expect(
            try parse(all).spapr
                == SPAPRIOMMU(
                    .pSeries, defaultWindowByteCount: 1 << 30, pageSizes: [.kib4, .kib64], dynamicWindows: 1,
                    levels: 1, hasErrorHandling: false))
        #expect(try parse("{ \"type\": \"spapr\", \"defaultWindow\": 0 }").spapr?.defaultWindowByteCount == 0)
    }

    @Test("name what is wrong")
    func mistakes() {
        #expect(problem("{ \"type\": \"tce\" }")?.contains("\"spapr\"") == true)
        #expect(problem("{ \"type\": \"spapr\", \"platform\": \"x\" }")?.contains("powernv") == true)
        #expect(problem("{ \"type\": \"spapr\", \"defaultWindow\": \"4G\" }")?.contains("4 GiB") == true)
        #expect(problem("{ \"type\": \"spapr\", \"levels\": 1000 }")?.contains("levels") == true)
        #expect(problem("{ \"type\": \"spapr\", \"isolatedMSI\": true }")?.contains("type1") == true)
        #expect(problem("{ \"levels\": 2 }")?.contains("spapr") == true)
    }
}
