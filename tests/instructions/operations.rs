//! The hot operations in Rust, for scripts/check-instructions, which counts what each `measured_` function executes.
//!
//! One thread holds both ends, so nothing here waits or depends on time. The first round touches memory and fills
//! what is kept ready; later rounds are alike. Counts include the loop, and what keeps its values alive.

use std::hint::black_box;

use ipcx::{
    Block, Buffer, BufferOptions, Client, Consumer, Deadline, Pool, PoolOptions, Producer, Publisher, Queue,
    QueueOptions, Result, Ring, RingOptions, Semaphore, SemaphoreOptions, Server, Service, ServiceOptions,
    Subscriber, Topic, TopicOptions,
};

/// Calls, or records, in each function.
const OPERATIONS: usize = 64;
const ROUNDS: usize = 4;
const SIZE: usize = 64;

type Blocks<'p> = [Option<Block<'p>>; OPERATIONS];

#[inline(never)]
fn measured_ring_send(tx: &mut Producer, data: &[u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        tx.send(black_box(data))?;
    }
    Ok(())
}

#[inline(never)]
fn measured_ring_recv(rx: &mut Consumer, room: &mut [u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        rx.recv(black_box(room))?;
    }
    Ok(())
}

#[inline(never)]
fn measured_ring_reserve_commit(tx: &mut Producer) -> Result<()> {
    for _ in 0..OPERATIONS {
        let mut place = tx.reserve(black_box(SIZE))?;
        black_box(place.as_mut_ptr());
        place.commit();
    }
    Ok(())
}

#[inline(never)]
fn measured_ring_borrow_release(rx: &mut Consumer) -> Result<()> {
    for _ in 0..OPERATIONS {
        let record = rx.borrow()?;
        black_box((record.as_ptr(), record.len()));
        record.release();
    }
    Ok(())
}

#[inline(never)]
fn measured_ring_send_many(tx: &mut Producer, records: &[&[u8]; OPERATIONS]) -> Result<()> {
    assert_eq!(tx.send_many(black_box(records))?, OPERATIONS);
    Ok(())
}

#[inline(never)]
fn measured_ring_recv_many(rx: &mut Consumer, room: &mut [u8], lens: &mut [usize]) -> Result<()> {
    assert_eq!(rx.recv_many(black_box(room), lens)?, OPERATIONS);
    Ok(())
}

#[inline(never)]
fn measured_pool_acquire_release(pool: &Pool) -> Result<()> {
    for _ in 0..OPERATIONS {
        black_box(pool.acquire()?).release();
    }
    Ok(())
}

/// So many that those kept ready are used up.
#[inline(never)]
fn measured_pool_acquire<'p>(pool: &'p Pool, blocks: &mut Blocks<'p>) -> Result<()> {
    for block in blocks {
        *block = Some(pool.acquire()?);
    }
    Ok(())
}

#[inline(never)]
fn measured_pool_release(blocks: &mut Blocks<'_>) {
    for block in blocks {
        drop(block.take());
    }
}

#[inline(never)]
fn measured_block_send(tx: &mut Producer, blocks: &mut Blocks<'_>) -> Result<()> {
    for block in blocks.iter_mut().filter_map(Option::take) {
        tx.send_block(block)?;
    }
    Ok(())
}

#[inline(never)]
fn measured_block_recv<'p>(rx: &mut Consumer, pool: &'p Pool, blocks: &mut Blocks<'p>) -> Result<()> {
    for block in blocks {
        *block = Some(rx.recv_block(pool)?);
    }
    Ok(())
}

#[inline(never)]
fn measured_buffer_write(buffer: &Buffer, data: &[u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        buffer.write(black_box(data))?;
    }
    Ok(())
}

#[inline(never)]
fn measured_buffer_read(buffer: &Buffer, room: &mut [u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        buffer.read(black_box(room))?;
    }
    Ok(())
}

#[inline(never)]
fn measured_buffer_lock_unlock(buffer: &Buffer) -> Result<()> {
    for _ in 0..OPERATIONS {
        let mut guard = buffer.lock()?;
        black_box(guard.as_mut_ptr());
        guard.commit()?;
    }
    Ok(())
}

#[inline(never)]
fn measured_semaphore_acquire_release(semaphore: &Semaphore) -> Result<()> {
    for _ in 0..OPERATIONS {
        black_box(semaphore.acquire()?).release();
    }
    Ok(())
}

#[inline(never)]
fn measured_topic_publish(tx: &mut Publisher, data: &[u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        tx.publish(black_box(data))?;
    }
    Ok(())
}

#[inline(never)]
fn measured_topic_recv(rx: &mut Subscriber, room: &mut [u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        rx.recv(black_box(room))?;
    }
    Ok(())
}

#[inline(never)]
fn measured_topic_reserve_commit(tx: &mut Publisher) -> Result<()> {
    for _ in 0..OPERATIONS {
        let mut place = tx.reserve(black_box(SIZE))?;
        black_box(place.as_mut_ptr());
        place.commit();
    }
    Ok(())
}

#[inline(never)]
fn measured_topic_borrow_release(rx: &mut Subscriber) -> Result<()> {
    for _ in 0..OPERATIONS {
        let record = rx.borrow()?;
        black_box((record.as_ptr(), record.len()));
        assert!(record.release()?);
    }
    Ok(())
}

#[inline(never)]
fn measured_service_send(client: &mut Client, data: &[u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        black_box(client.send(black_box(data))?);
    }
    Ok(())
}

#[inline(never)]
fn measured_service_serve(server: &mut Server, room: &mut [u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        let mut id = 0;
        let len = server.recv_into(&mut id, black_box(room), Deadline::NEVER)?;
        server.reply(id, &room[..len])?;
    }
    Ok(())
}

#[inline(never)]
fn measured_service_recv(client: &mut Client, room: &mut [u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        let mut id = 0;
        client.recv_into(&mut id, black_box(room), Deadline::NEVER)?;
    }
    Ok(())
}

#[inline(never)]
fn measured_queue_push(queue: &Queue, data: &[u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        queue.push(black_box(data), 3)?;
    }
    Ok(())
}

#[inline(never)]
fn measured_queue_take_ack(queue: &Queue, room: &mut [u8]) -> Result<()> {
    for _ in 0..OPERATIONS {
        let taken = queue.take_into(black_box(room), Deadline::NEVER)?;
        queue.ack(taken.ticket)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let ring = Ring::anonymous(&RingOptions::default())?;
    let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    let options =
        PoolOptions { block_size: SIZE as u64, blocks: 2 * OPERATIONS as u64, ..Default::default() };
    let pool = Pool::anonymous(&options)?;
    let buffer = Buffer::anonymous(&BufferOptions::default())?;
    let semaphore = Semaphore::anonymous(&SemaphoreOptions::default())?;
    let topic = Topic::anonymous(&TopicOptions::default())?;
    let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    let service = Service::anonymous(&ServiceOptions {
        depth: OPERATIONS as u64,
        max_clients: 1,
        ..Default::default()
    })?;
    let (mut client, mut server) = (service.client()?, service.server()?);
    let queue = Queue::anonymous(&QueueOptions { max_message: SIZE as u64, ..Default::default() })?;
    let (data, mut room, mut lens) = ([7; SIZE], [0; OPERATIONS * SIZE], [0; OPERATIONS]);
    let records = [&data[..]; OPERATIONS];
    let mut blocks = [const { None }; OPERATIONS];
    for _ in 0..ROUNDS {
        measured_ring_send(&mut tx, &data)?;
        measured_ring_recv(&mut rx, &mut room)?;
        measured_ring_reserve_commit(&mut tx)?;
        measured_ring_borrow_release(&mut rx)?;
        measured_ring_send_many(&mut tx, &records)?;
        measured_ring_recv_many(&mut rx, &mut room, &mut lens)?;
        measured_pool_acquire_release(&pool)?;
        measured_pool_acquire(&pool, &mut blocks)?;
        measured_block_send(&mut tx, &mut blocks)?;
        measured_block_recv(&mut rx, &pool, &mut blocks)?;
        measured_pool_release(&mut blocks);
        measured_buffer_write(&buffer, &data)?;
        measured_buffer_read(&buffer, &mut room[..SIZE])?;
        measured_buffer_lock_unlock(&buffer)?;
        measured_semaphore_acquire_release(&semaphore)?;
        measured_topic_publish(&mut publisher, &data)?;
        measured_topic_recv(&mut subscriber, &mut room)?;
        measured_topic_reserve_commit(&mut publisher)?;
        measured_topic_borrow_release(&mut subscriber)?;
        measured_service_send(&mut client, &data)?;
        measured_service_serve(&mut server, &mut room[..SIZE])?;
        measured_service_recv(&mut client, &mut room[..SIZE])?;
        measured_queue_push(&queue, &data)?;
        measured_queue_take_ack(&queue, &mut room[..SIZE])?;
    }
    Ok(())
}
