import VFIOABI
import VFIOHost

extension Place {
    /// Where a region begins in a device's offsets.
    static func region(_ index: UInt64) -> UInt64 { index << 40 }
}

extension File {
    /// GET_REGION_INFO of any number.
    func regionInfo(_ index: UInt32) -> (answer: Answer, info: RegionInfo) {
        var info = RegionInfo(index: index)
        let answer = request(.deviceGetRegionInfo, &info)
        return (answer, info)
    }

    /// Reads a register of configuration space.
    func configuration<T: FixedWidthInteger>(_ type: T.Type, _ offset: UInt64) throws -> T {
        try load(type, at: Place.configuration(offset))
    }

    /// Writes a register of configuration space.
    @discardableResult
    func configure<T: FixedWidthInteger>(_ offset: UInt64, _ value: T) -> Answer {
        store(value, at: Place.configuration(offset))
    }
}
