package peer;

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.CompressionType;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/** RocksDB as the documents of Kafka Streams bound its memory: one cache and one limit of write buffers for all stores. */
public final class Storage implements RocksDBConfigSetter {
  private static final long CACHE = 256L << 20;
  private static final long WRITE_BUFFERS = 192L << 20;
  private static final long WRITE_BUFFER = 32L << 20;

  static {
    org.rocksdb.RocksDB.loadLibrary();
  }

  private static final Cache SHARED = new LRUCache(CACHE);
  private static final WriteBufferManager BUFFERS = new WriteBufferManager(WRITE_BUFFERS, SHARED);

  private final BloomFilter filter = new BloomFilter(10);

  @Override
  public void setConfig(String store, Options options, Map<String, Object> configs) {
    BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
    table.setBlockCache(SHARED);
    table.setFilterPolicy(filter);
    table.setBlockSize(16 << 10);
    options.setWriteBufferManager(BUFFERS);
    options.setWriteBufferSize(WRITE_BUFFER);
    options.setCompressionType(CompressionType.LZ4_COMPRESSION);
    options.setTableFormatConfig(table);
  }

  @Override
  public void close(String store, Options options) {
    filter.close();
  }
}
