/// How a graphics plane is offered.
public struct GFXPlaneFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_GFX_PLANE_TYPE_PROBE`: only ask whether the other kind named is supported.
    @inlinable public static var probe: GFXPlaneFlags { GFXPlaneFlags(rawValue: 1 << 0) }

    /// `VFIO_GFX_PLANE_TYPE_DMABUF`: as a dma-buf.
    @inlinable public static var dmabuf: GFXPlaneFlags { GFXPlaneFlags(rawValue: 1 << 1) }

    /// `VFIO_GFX_PLANE_TYPE_REGION`: as a region of the device.
    @inlinable public static var region: GFXPlaneFlags { GFXPlaneFlags(rawValue: 1 << 2) }
}

/// `vfio_device_gfx_plane_info`: question and answer of `Request.deviceQueryGFXPlane`. `regionIndex` and
/// `dmabufID` are one field, a union.
public struct GFXPlaneInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: the kind.
    public var flags: GFXPlaneFlags
    /// `drm_plane_type`: the DRM plane type: overlay 0, primary 1, cursor 2.
    public var drmPlaneType: UInt32
    /// `drm_format`: answer: the DRM pixel format.
    public var drmFormat: UInt32
    /// `drm_format_mod`: answer: the DRM format modifier.
    public var drmFormatModifier: UInt64
    /// `width`: answer: pixels.
    public var width: UInt32
    /// `height`: answer: pixels.
    public var height: UInt32
    /// `stride`: answer: bytes from line to line.
    public var stride: UInt32
    /// `size`: answer: bytes; 0 where nothing is shown.
    public var size: UInt32
    /// `x_pos`: answer: the cursor's horizontal position.
    public var x: UInt32
    /// `y_pos`: answer: the cursor's vertical position.
    public var y: UInt32
    /// `x_hot`: answer: the cursor's horizontal hot spot.
    public var hotX: UInt32
    /// `y_hot`: answer: the cursor's vertical hot spot.
    public var hotY: UInt32
    /// `region_index`: answer with `GFXPlaneFlags.region`: the region.
    public var regionIndex: UInt32
    /// `reserved`: zero.
    public var reserved: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 64 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: GFXPlaneFlags = [],
        drmPlaneType: UInt32 = 0,
        drmFormat: UInt32 = 0,
        drmFormatModifier: UInt64 = 0,
        width: UInt32 = 0,
        height: UInt32 = 0,
        stride: UInt32 = 0,
        size: UInt32 = 0,
        x: UInt32 = 0,
        y: UInt32 = 0,
        hotX: UInt32 = 0,
        hotY: UInt32 = 0,
        regionIndex: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.drmPlaneType = drmPlaneType
        self.drmFormat = drmFormat
        self.drmFormatModifier = drmFormatModifier
        self.width = width
        self.height = height
        self.stride = stride
        self.size = size
        self.x = x
        self.y = y
        self.hotX = hotX
        self.hotY = hotY
        self.regionIndex = regionIndex
        self.reserved = reserved
    }

    /// `dmabuf_id`: the same field as `regionIndex`, with `GFXPlaneFlags.dmabuf`: the argument of
    /// `Request.deviceGetGFXDMABuf`.
    @inlinable public var dmabufID: UInt32 {
        get { regionIndex }
        set { regionIndex = newValue }
    }
}
