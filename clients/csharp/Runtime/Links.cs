using System;
using System.IO;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Threading;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>A connection that stays open and carries messages. One sends and one receives at a time.</summary>
    public interface ILink : IDisposable
    {
        /// <summary>Send a message. Throws when the connection is broken.</summary>
        Task SendAsync(byte[] message, CancellationToken stop);

        /// <summary>Return the next message. Throws when there will be none.</summary>
        Task<byte[]> ReceiveAsync(CancellationToken stop);
    }

    /// <summary>Opens connections: WebSockets (ws, wss), and bare TCP (tcp, tcps).</summary>
    public static class Links
    {
        const int MessageBytesMax = 1 << 20;

        /// <summary>Open one. Throws when nobody answers there, or when the scheme is none of these.</summary>
        public static async Task<ILink> OpenAsync(Uri address, CancellationToken stop)
        {
            if (address.Scheme == "ws" || address.Scheme == "wss")
            {
                var socket = new ClientWebSocket();
                try
                {
                    await socket.ConnectAsync(address, stop).ConfigureAwait(false);
                    return new WebSocketLink(socket);
                }
                catch (Exception)
                {
                    socket.Dispose();
                    throw;
                }
            }
            if (address.Scheme != "tcp" && address.Scheme != "tcps")
            {
                throw new NotSupportedException("nobody here speaks " + address.Scheme);
            }
            var client = new TcpClient();
            using (stop.Register(client.Dispose))
            {
                try
                {
                    await client.ConnectAsync(address.DnsSafeHost, address.Port).ConfigureAwait(false);
                    client.NoDelay = true;
                    Stream stream = client.GetStream();
                    if (address.Scheme == "tcps")
                    {
                        var secured = new SslStream(stream);
                        await secured.AuthenticateAsClientAsync(address.DnsSafeHost).ConfigureAwait(false);
                        stream = secured;
                    }
                    return new TcpLink(client, stream);
                }
                catch (Exception)
                {
                    client.Dispose();
                    throw;
                }
            }
        }

        sealed class WebSocketLink : ILink
        {
            readonly ClientWebSocket socket;
            readonly byte[] part = new byte[8192];

            internal WebSocketLink(ClientWebSocket socket)
            {
                this.socket = socket;
            }

            public Task SendAsync(byte[] message, CancellationToken stop)
            {
                return socket.SendAsync(new ArraySegment<byte>(message), WebSocketMessageType.Text, true, stop);
            }

            public async Task<byte[]> ReceiveAsync(CancellationToken stop)
            {
                using (var message = new MemoryStream())
                {
                    WebSocketReceiveResult got;
                    do
                    {
                        got = await socket.ReceiveAsync(new ArraySegment<byte>(part), stop).ConfigureAwait(false);
                        if (got.MessageType == WebSocketMessageType.Close || message.Length > MessageBytesMax)
                        {
                            throw new IOException("the connection was closed");
                        }
                        message.Write(part, 0, got.Count);
                    }
                    while (!got.EndOfMessage);
                    return message.ToArray();
                }
            }

            public void Dispose()
            {
                socket.Abort();
                socket.Dispose();
            }
        }

        /// <summary>Before each message stands its length, in four bytes.</summary>
        sealed class TcpLink : ILink
        {
            readonly TcpClient client;
            readonly Stream stream;

            internal TcpLink(TcpClient client, Stream stream)
            {
                this.client = client;
                this.stream = stream;
            }

            public Task SendAsync(byte[] message, CancellationToken stop)
            {
                var framed = new byte[4 + message.Length];
                for (int i = 0; i < 4; i++)
                {
                    framed[i] = (byte)(message.Length >> (24 - 8 * i));
                }
                message.CopyTo(framed, 4);
                return stream.WriteAsync(framed, 0, framed.Length, stop);
            }

            public async Task<byte[]> ReceiveAsync(CancellationToken stop)
            {
                using (stop.Register(client.Dispose)) // not every stream looks at the token
                {
                    byte[] head = await ReadAsync(4, stop).ConfigureAwait(false);
                    int length = head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
                    if (length < 0 || length > MessageBytesMax)
                    {
                        throw new IOException("a message that is too long");
                    }
                    return await ReadAsync(length, stop).ConfigureAwait(false);
                }
            }

            public void Dispose()
            {
                client.Dispose();
            }

            async Task<byte[]> ReadAsync(int length, CancellationToken stop)
            {
                var bytes = new byte[length];
                for (int read = 0; read < length;)
                {
                    int got = await stream.ReadAsync(bytes, read, length - read, stop).ConfigureAwait(false);
                    if (got == 0)
                    {
                        throw new EndOfStreamException("the connection was closed");
                    }
                    read += got;
                }
                return bytes;
            }
        }
    }
}
