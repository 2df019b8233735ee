import LinuxSystem
import VFIOABI
import VFIOHost

/// A container with one group and sPAPR's DMA windows, memory to map, and short ways to do it.
struct WindowBench {
    let container: File
    let group: File
    let record: DeviceRecord
    let memory: UserPages
    let info: SPAPRTCEInfo

    /// The processor's page size.
    var page: UInt64 { UInt64(pageSize) }
    /// Where the default window begins and how long it is.
    var start: UInt64 { UInt64(info.dma32WindowStart) }
    var size: UInt64 { UInt64(info.dma32WindowSize) }

    /// MAP_DMA of pages of the bench's memory.
    func map(
        _ offset: UInt64, pages: Int = 1, from first: Int = 0, _ flags: DMAMapFlags = [.read, .write]
    ) -> Answer {
        map(
            DMAMap(
                flags: flags, vaddr: memory.vaddr + UInt64(first) * page, iova: start + offset,
                size: UInt64(pages) * page))
    }

    /// MAP_DMA with a structure.
    func map(_ request: DMAMap) -> Answer { container.request(.iommuMapDMA, request) }

    /// UNMAP_DMA of a part of the default window.
    func unmap(_ offset: UInt64, size: UInt64) -> Answer {
        container.request(.iommuUnmapDMA, DMAUnmap(iova: start + offset, size: size))
    }

    /// REGISTER_MEMORY of pages of the bench's memory.
    func register(_ first: Int = 0, pages: Int) -> Answer { ask(.spaprRegisterMemory, first, pages) }

    /// UNREGISTER_MEMORY of pages of the bench's memory.
    func unregister(_ first: Int = 0, pages: Int) -> Answer { ask(.spaprUnregisterMemory, first, pages) }

    private func ask(_ request: Request, _ first: Int, _ pages: Int) -> Answer {
        container.request(
            request,
            SPAPRRegisterMemory(
                vaddr: memory.vaddr + UInt64(first) * page, size: UInt64(pages) * page))
    }

    /// TCE_CREATE: the answer, and where the window begins.
    func create(
        shift: UInt32 = 12, size: UInt64 = 1 << 20, levels: UInt32 = 1
    ) -> (answer: Answer, start: UInt64) {
        var request = SPAPRTCECreate(pageShift: shift, windowSize: size, levels: levels)
        let answer = container.request(.spaprTCECreate, &request)
        return (answer, request.startAddress)
    }

    /// TCE_REMOVE
    func remove(_ start: UInt64) -> Answer {
        container.request(.spaprTCERemove, SPAPRTCERemove(startAddress: start))
    }

    /// EEH_PE_OP
    func operate(_ operation: EEHOperation, _ error: EEHError = EEHError(), argsz: UInt32 = 40) -> Answer {
        container.request(
            .eehOperation, EEHRequest(argsz: argsz, operation: operation, error: error))
    }
}

extension Trial {
    /// A container with the group of a device and sPAPR's windows.
    func windows(version: Int = 2, pages: Int = 32) throws -> WindowBench {
        let record = try edu
        let container = try open(.container)
        let group = try open(record.groupNode)
        try require(put(group, into: container), "SET_CONTAINER")
        let kind: IOMMUType = version == 2 ? .spaprTCEv2 : .spaprTCE
        if container.request(.checkExtension, kind.rawValue) == .value(0) {
            throw Halt.skipped("the machine has no sPAPR IOMMU (extension \(kind.rawValue))")
        }
        try require(container.request(.setIOMMU, kind.rawValue), "SET_IOMMU")
        var info = SPAPRTCEInfo()
        try require(container.request(.spaprTCEGetInfo, &info), "TCE_GET_INFO")
        return WindowBench(
            container: container, group: group, record: record, memory: try memory(pages: pages), info: info)
    }

    /// The same with version 1, enabled.
    func enabledWindow() throws -> WindowBench {
        let bench = try windows(version: 1)
        try require(bench.container.request(.iommuEnable), "ENABLE")
        return bench
    }

    /// The same with version 2, and all of the bench's memory registered.
    func registeredWindows() throws -> WindowBench {
        let bench = try windows()
        try require(
            bench.container.request(
                .spaprRegisterMemory,
                SPAPRRegisterMemory(vaddr: bench.memory.vaddr, size: bench.memory.size)), "REGISTER_MEMORY")
        return bench
    }
}

extension Exception {
    /// Linux gives back what its check says: 1, which isn't an error.
    static var truthIsRefused: Exception {
        .software(
            .errno(.invalid),
            "Linux answers with the truth value of its check, and maps nothing: a refusal is one here")
    }
}
